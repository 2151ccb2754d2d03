"""What is to be quantised, in words that both the pass (which knows ONNX) and its stage (which knows torch) have."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import is_standard, sole_consumer
from edgewright.compiler.numeric_gate import exposed
from edgewright.compiler.quantization.insertion import weight_axis, weight_bits
from edgewright.compiler.quantization.operators import Role
from edgewright.compiler.quantization.planning import QuantizationPlan
from edgewright.compiler.quantization.quantized_op import QuantizedOp, is_constant
from edgewright.compiler.site import Run
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Feeds


@dataclass(frozen=True)
class WantedOp:
    """One operator that runs on codes; tensors go by their names in the ONNX form."""

    name: str
    kind: str
    anchor: bool
    """It has weights."""
    reads: tuple[str, ...]
    """The activations it is given as codes."""
    constants: bool
    """It is given constants as codes, on grids of their own."""
    result: str
    """What it makes itself."""
    biased: str
    """The same with the constant added that stands behind it; ``result`` where none does."""
    output: str
    """The same behind the clamp that belongs to it; ``result`` where none does."""
    axis: int | None
    """The weight's axis with a scale each, as ONNX has the weight; None for one scale."""


@dataclass(frozen=True)
class WantedTensor:
    """One tensor that is given a grid."""

    group: str
    """The tensor whose grid it shares; itself where none."""
    produced: bool
    """All that read it get codes; else only quantised operators do."""
    scale: float
    zero_point: int
    """The grid that calibration chose: where training starts."""


@dataclass(frozen=True)
class Evening:
    """Channels of one tensor that training had better start from evened out."""

    tensor: str
    producer: str
    """The operator whose constants are divided by ``factor``."""
    readers: tuple[str, ...]
    """Those whose weights are multiplied by it."""
    factor: tuple[float, ...]
    scale: float
    zero_point: int
    """The grid of the tensor's group once that is done."""


@dataclass(frozen=True)
class Wanted:
    """The decision for one model on one target."""

    ops: tuple[WantedOp, ...]
    tensors: dict[str, WantedTensor]
    evenings: tuple[Evening, ...]
    unfit: dict[str, str]
    """Operators that stay float because calibration found them unfit for int8, and why."""
    dtype: str
    """Of activations: ``uint8`` or ``int8``."""
    symmetric: bool
    bits: int
    """Of a weight: 8, or 7 where sums of two products must fit 16 bits."""
    scales: str
    """The type that scales will be written in."""
    inputs: tuple[str, ...]
    """Names of the model's inputs, in the order of ``forward``."""
    values: tuple[str, ...]
    """The tensors whose values on one sample lie in the other file, in the graph's order."""

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.write_text(json.dumps(asdict(self), sort_keys=True))


def load_wanted(path: Path) -> Wanted:
    """What :meth:`Wanted.save` wrote."""
    found = json.loads(path.read_text())
    ops = tuple(WantedOp(**{**one, "reads": tuple(one["reads"])}) for one in found.pop("ops"))
    tensors = {name: WantedTensor(**one) for name, one in found.pop("tensors").items()}
    evenings = tuple(
        Evening(**{**one, "readers": tuple(one["readers"]), "factor": tuple(one["factor"])})
        for one in found.pop("evenings")
    )
    values, inputs = tuple(found.pop("values")), tuple(found.pop("inputs"))
    return Wanted(ops=ops, tensors=tensors, evenings=evenings, values=values, inputs=inputs, **found)


def wanted_of(plan: QuantizationPlan, evened: QuantizationPlan | None = None) -> Wanted:
    """``plan`` in words.

    Args:
        plan: of the model as it is.
        evened: of the same model with its channels evened out, where training may start from that.
    """
    rule = plan.policy.rule
    placement = plan.placement
    values = tuple(
        value.name
        for node in plan.graph
        for value in node.outputs
        if value.name and value.dtype == ir.DataType.FLOAT and (value.uses() or value.is_graph_output())
    )
    return Wanted(
        ops=tuple(_wanted_op(op, weight_axis(op, rule) if op.weight is not None else None) for op in placement.ops),
        tensors={
            value.name or "": WantedTensor(
                group.name or "",
                value in placement.produced,
                float(plan.grids[value].scale),
                int(plan.grids[value].zero_point),
            )
            for value, group in placement.grids.items()
        },
        evenings=() if evened is None else _evenings(evened),
        unfit=dict(plan.unfit),
        dtype=rule.activation,
        symmetric=rule.activation_symmetric,
        bits=weight_bits(rule),
        scales=plan.policy.scales,
        inputs=tuple(spec.name for spec in plan.model.inputs),
        values=values,
    )


def save_values(plan: QuantizationPlan, wanted: Wanted, feeds: Iterable[Feeds], run: Run, path: Path) -> None:
    """Writes the inputs (``i0``, ...) and the values of ``wanted.values`` (``v0``, ...) on the first of ``feeds``.

    Raises:
        BadInputError: there is no sample.
    """
    first = next(iter(feeds), None)
    if first is None:
        raise BadInputError("the calibration set is empty", "Give at least 32 samples.")
    answers = next(iter(run(exposed(plan.model, wanted.values), [first])))
    arrays: dict[str, Array] = {f"i{place}": first[spec.name] for place, spec in enumerate(plan.model.inputs)}
    arrays |= {f"v{place}": answers[name] for place, name in enumerate(wanted.values)}
    np.savez(path, **arrays)  # type: ignore[arg-type]


def _wanted_op(op: QuantizedOp, axis: int | None) -> WantedOp:
    result = op.node.outputs[0]
    return WantedOp(
        name=op.node.name or "",
        kind=op.node.op_type,
        anchor=op.operator.role is Role.ANCHOR,
        reads=tuple(value.name or "" for value in op.read),
        constants=len(op.read) < len(op.activations),
        result=result.name or "",
        biased=_biased(result).name or "",
        output=op.output.name or "",
        axis=axis,
    )


def _evenings(plan: QuantizationPlan) -> tuple[Evening, ...]:
    grids = {value.name: grid for value, grid in plan.grids.items()}
    return tuple(
        Evening(
            one.tensor,
            one.producer,
            one.readers,
            one.factor,
            float(grids[one.tensor].scale),
            int(grids[one.tensor].zero_point),
        )
        for one in plan.evened
        if one.tensor in grids
    )


def _biased(result: ir.Value) -> ir.Value:
    """``result`` with the constant added that alone reads it."""
    add = sole_consumer(result)
    if not is_standard(add, "Add") or add is None:
        return result
    return add.outputs[0] if any(one is not None and is_constant(one) for one in add.inputs) else result
