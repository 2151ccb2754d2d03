"""Writes weights and activations in float16 or bfloat16; inputs and outputs of the graph stay float32.

1. Every node that its schema allows computes in 16 bits. What must not stays in float32: operators that need it, nodes
   named in ``keep_float``, and for float16 nodes with a constant outside its range.
2. For float16, real samples are run through the float32 model first: a node that reads or writes a value of more than a
   quarter of 65504 stays in float32, because other data may be larger; so does a mean whose sum would leave the range.
   Very negative values that only hide scores from a Softmax become -16384. Without samples the journal says so.
3. Casts stand where the two meet, one per tensor and type. Bodies of If and Loop stay as they are.
4. Behind quantisation, 16 bits are what the scheme leaves its rest in: a DequantizeLinear gives each reader the type
   it computes in, with a scale of that type, so that no Cast stands between codes and their reader. A QuantizeLinear
   takes what comes, a float32 input of the graph too; both scales of a pair are the same number.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import constant, is_standard
from edgewright.compiler.half_choice import HalfNode, choose_half
from edgewright.compiler.half_codes import converts_codes, narrow_quantizers, round_scales, stored_reals
from edgewright.compiler.half_precision import HALF_PRECISIONS, as_half, opset_for, written_half
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.shape_inference import infer_shapes
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array
from edgewright.targets.schema import Target

_PADDING = 1 << 10
"""Elements from which a constant of one number is not stored as many."""
_TYPES = {"float16": ir.DataType.FLOAT16, "bfloat16": ir.DataType.BFLOAT16}


@dataclass(frozen=True)
class CastHalfOptions:
    """``dtype``: ``float16`` or ``bfloat16``; ``keep_float``: names of nodes, or operators, that stay in float32."""

    dtype: str = "float16"
    keep_float: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dtype not in _TYPES:
            raise ValueError(f"dtype: '{self.dtype}' is neither float16 nor bfloat16")


class CastHalf(Pass[OnnxModel, OnnxModel]):
    """Casts weights and internal tensors to 16 bits."""

    name: ClassVar[str] = "cast-half"
    effect: ClassVar[Effect] = Effect.LOSSY
    stage: ClassVar[Stage] = Stage.CAST
    options_type: ClassVar[type] = CastHalfOptions

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """For a 16-bit precision, or codes whose rest has one, that the runtime does not reach by itself."""
        if precision in ("int8", "fp8"):
            rest = _rest(target, precision)
            return None if rest else f"the precision is {precision}, and the rest needs no 16-bit type written"
        if precision not in HALF_PRECISIONS:
            return f"the precision is {precision}"
        if precision in target.hinted_precisions:
            return f"{target.name} computes in {precision} from a float32 model when told to"
        return None

    @classmethod
    def options_for(cls, target: Target, precision: str) -> CastHalfOptions:
        """The type that the precision names, or that the preferred scheme of its codes leaves the rest in."""
        return CastHalfOptions(HALF_PRECISIONS.get(precision) or _rest(target, precision) or "float16")

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same graph computing in 16 bits where it can."""
        options = self.options
        assert isinstance(options, CastHalfOptions)
        half = _TYPES[options.dtype]
        work = Rewriting(model)
        if problem := work.reach_opset(opset_for(work.model, half), site.target.opset[1]):
            work.skipped("graph", f"some operators stay in float32: {problem}")
        if any(value.dtype is None for node in work.model.graph for value in node.outputs if value.name):
            infer_shapes(work)
        chosen = choose_half(work, half, frozenset(options.keep_float), site)
        if chosen:
            _Casting(work, half).apply(chosen)
            work.did("graph", f"{len(chosen)} nodes compute in {options.dtype}", len(chosen))
        return work.outcome()


def _rest(target: Target, precision: str) -> str | None:
    rule = target.fp8 if precision == "fp8" else target.int8
    return written_half(target, rule.schemes[0]) if rule is not None and rule.schemes else None


class _Casting:
    def __init__(self, work: Rewriting, half: ir.DataType) -> None:
        self.work, self.half = work, half
        self.made: set[ir.Value] = set()
        self.halves: dict[ir.Value, ir.Value] = {}
        self.graph = work.model.graph

    def apply(self, chosen: list[HalfNode]) -> None:
        self.made = made = {item.node.outputs[index] for item in chosen for index in item.outputs}
        reads = {item.node: set(item.inputs) for item in chosen}
        round_scales(self.graph, self.half)
        for item in chosen:
            for index in sorted(item.inputs):
                value = item.node.inputs[index]
                if value is not None and value not in made:
                    item.node.replace_input_with(index, self._as_half(value))
            if is_standard(item.node, "Cast"):
                item.node.attributes["to"] = ir.AttrInt64("to", self.half.value)
        for node in list(narrow_quantizers(self.graph, self.half, made)):
            scale = node.inputs[1]
            assert scale is not None
            node.replace_input_with(1, self._as_half(scale))
            reads[node] = {0}
        reads.update({node: {0} for node in self.graph if is_standard(node, "Cast") and node.inputs[0] in made})
        for value in [value for node in self.graph for value in node.outputs if value in made]:
            self._keep_float_readers(value, reads)
        for value in made:
            if value.type is not None and value.dtype != self.half:
                value.type = ir.TensorType(self.half)
        self.work.drop_unused()

    def _as_half(self, value: ir.Value) -> ir.Value:
        """``value`` in 16 bits: another initializer, or a Cast right behind what makes it."""
        if value in self.halves:
            return self.halves[value]
        array, maker = constant(value), value.producer()
        source = maker.inputs[0] if maker is not None and is_standard(maker, "Cast") else None
        if source is not None and (source in self.made or source.dtype == self.half):
            result = source
        elif maker is not None and is_standard(maker, "DequantizeLinear") and converts_codes(maker):
            result = self._dequantized(maker)
        elif array is not None and value.is_initializer():
            result = self._stored(value, as_half(array, self.half))
            self.work.orphan(value)
        else:
            result = self._cast(value, self.half, f"{value.name}.half")
        self.halves[value] = result
        return result

    def _stored(self, value: ir.Value, narrow: Array) -> ir.Value:
        """A constant in 16 bits; one number all over, as channels are padded with, is written once."""
        readers = [use.node for use in value.uses()]
        place, hint = self._outer(readers[0]), f"{value.name}.half"
        padding = narrow.size >= _PADDING and all(is_standard(node, "Concat") for node in readers)
        if not padding or not np.array_equal(narrow, np.broadcast_to(narrow.flat[0], narrow.shape)):
            return self.work.constant(place, hint, narrow, self.half)
        number = self.work.constant(place, hint, narrow.reshape(-1)[:1].reshape(()), self.half)
        sizes = self.work.constant(place, f"{value.name}.sizes", np.asarray(narrow.shape, np.int64))
        filled = self.work.insert(self.graph[0], "Expand", [number, sizes], hint=hint, like=value)
        filled.type = ir.TensorType(self.half)
        return filled

    def _dequantized(self, node: ir.Node) -> ir.Value:
        """What a DequantizeLinear makes, in 16 bits: a constant for int32 codes, else another one's result."""
        value, scale, codes = node.outputs[0], node.inputs[1], node.inputs[0]
        assert scale is not None
        assert codes is not None
        self.work.orphan(value)
        if codes.dtype == ir.DataType.INT32 and (reals := stored_reals(node)) is not None:
            return self.work.constant(self.graph[0], f"{value.name}.half", reals.astype(self.half.numpy()), self.half)
        output = ir.Value(
            name=self.work.unique(f"{value.name}.half"),
            type=ir.TensorType(self.half),
            shape=copy.copy(value.shape),
        )
        inputs = [codes, self._as_half(scale), *node.inputs[2:]]
        attributes = [copy.copy(attribute) for attribute in node.attributes.values()]
        name = self.work.unique(f"{node.name}.half")
        self.graph.insert_after(node, ir.Node("", "DequantizeLinear", inputs, attributes, outputs=[output], name=name))
        return output

    def _keep_float_readers(self, value: ir.Value, reads: dict[ir.Node, set[int]]) -> None:
        """Gives a float32 copy of a 16-bit value to graph outputs and to whatever reads it in float32."""
        others = [use for use in list(value.uses()) if use.idx not in reads.get(use.node, ())]
        places = [index for index, output in enumerate(self.graph.outputs) if output is value]
        if not others and not places:
            return
        name = value.name or ""
        if places:
            value.name = self.work.unique(f"{name}.half")
        wide = self._cast(value, ir.DataType.FLOAT, f"{name}.float", name if places else "")
        for use in others:
            use.node.replace_input_with(use.idx, wide)
        for index in places:
            self.graph.outputs[index] = wide

    def _cast(self, value: ir.Value, dtype: ir.DataType, hint: str, name: str = "") -> ir.Value:
        output = ir.Value(name=name or self.work.unique(hint), type=ir.TensorType(dtype), shape=copy.copy(value.shape))
        node = ir.Node(
            "",
            "Cast",
            [value],
            [ir.AttrInt64("to", dtype.value)],
            outputs=[output],
            name=self.work.unique(f"{hint}.cast"),
        )
        maker = value.producer()
        if maker is None:
            self.graph.insert_before(self.graph[0], node)
        else:
            self.graph.insert_after(maker, node)
        return output

    def _outer(self, node: ir.Node) -> ir.Node:
        """A node of the main graph, so that the new initializer comes into it."""
        return node if node.graph is self.graph else self.graph[0]
