"""Whether lowering wrote what was trained: the trained graph and the quantised ONNX form, on identical inputs.

Layer by layer each operator of the ONNX form is given the very reals that the trained graph's codes stood for, and what
it makes is compared in steps of its own grid: rounding on two engines may differ by one. End to end both are run on the
same samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import is_standard
from edgewright.compiler.pass_base import Note
from edgewright.compiler.quantization.insertion import insert
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.quantization.planning import QuantizationPlan
from edgewright.compiler.site import Run
from edgewright.core.errors import EdgewrightError
from edgewright.core.tensors import Array, Feeds

MOST_STEPS = 1.01
"""One step of the grid, and a little for the last bits of a scale."""


@dataclass(frozen=True)
class LayerAgreement:
    """One layer on identical inputs, over all samples."""

    layer: str
    steps: float
    """Largest difference, in steps of the grid of what it makes."""
    differing: float
    """Share of its values that differ at all."""


@dataclass(frozen=True)
class Agreement:
    """What the comparison came to."""

    layers: tuple[LayerAgreement, ...]
    cosine: float
    """Of all outputs of all samples, end to end; NaN where they could not be had."""
    same_answers: float | None
    """Share of samples with the same highest score; None where outputs are no scores."""
    notes: tuple[Note, ...] = field(default=())

    @property
    def worst(self) -> LayerAgreement | None:
        """The layer that differs most."""
        return max(self.layers, key=lambda one: (one.steps, one.differing), default=None)

    @property
    def figures(self) -> dict[str, object]:
        """What the journal keeps."""
        worst = self.worst
        if math.isnan(self.cosine):
            return {}
        found: dict[str, object] = {"layers": len(self.layers), "cosine": round(self.cosine, 6)}
        if worst is not None:
            found |= {"worst_layer": worst.layer, "worst_steps": round(worst.steps, 3)}
        if self.same_answers is not None:
            found["same_answers"] = round(self.same_answers, 4)
        return found


def compare(plan: QuantizationPlan, layers: Path, run: Run) -> Agreement:
    """Holds what ``plan`` writes against what the trained graph left in ``layers`` (``extraction.save_layers``).

    Args:
        plan: of the exported model with its trained grids; it is used up.
        layers: the file.
        run: runs a model.
    """
    answers = _read(layers, [spec.name for spec in plan.model.inputs])
    trained = frozenset(answers[0].tensors)
    names = {value: value.name or "" for value in plan.placement.grids if value.name in trained}
    judged = judged_layers(plan.placement, trained)
    insert(plan.graph, plan.placement, plan.grids, plan.policy)
    try:
        whole = [list(one.values()) for one in run(replace(plan.model), [one.feeds for one in answers])]
        cosine, same = _end_to_end([one.outputs for one in answers], whole)
        found = _layer_by_layer(plan, names, judged, answers, run)
    except EdgewrightError as problem:
        note = Note("warning", "graph", f"lowering was not compared with what was trained: {problem.problem}")
        return Agreement((), float("nan"), None, (note,))
    return _noted(Agreement(tuple(found), cosine, same))


def judged_layers(placement: Placement, trained: frozenset[str]) -> dict[ir.Value, str]:
    """What is compared: output -> layer, where it and all that the operator reads were trained as codes."""
    return {
        op.output: op.node.name or ""
        for op in placement.ops
        if op.output in placement.produced
        and op.output.name in trained
        and op.read
        and all((value.name or "") in trained for value in op.read)
    }


@dataclass(frozen=True, eq=False)
class _Trained:
    """What the trained graph makes of one sample."""

    feeds: Feeds
    outputs: list[Array]
    tensors: dict[str, Array]


def _read(path: Path, inputs: list[str]) -> list[_Trained]:
    with np.load(path, allow_pickle=False) as found:
        arrays = {name: found[name] for name in found.files}
    names = [str(name) for name in arrays.pop("names")]
    result = []
    for index in range(1 + max(int(key.split("/")[0]) for key in arrays)):
        outputs = [key for key in arrays if key.startswith(f"{index}/o/")]
        tensors = {name: arrays[key] for place, name in enumerate(names) if (key := f"{index}/t/{place}") in arrays}
        feeds = {name: arrays[f"{index}/i/{place}"] for place, name in enumerate(inputs)}
        result.append(_Trained(feeds, [arrays[key] for key in outputs], tensors))
    return result


def _layer_by_layer(
    plan: QuantizationPlan,
    names: Mapping[ir.Value, str],
    judged: Mapping[ir.Value, str],
    answers: Sequence[_Trained],
    run: Run,
) -> list[LayerAgreement]:
    given, made = part(plan, names, judged)
    if not made:
        return []
    largest = dict.fromkeys(made, 0.0)
    differing, sizes = dict.fromkeys(made, 0), dict.fromkeys(made, 0)
    shapes = {value.name: value.shape for value in plan.graph.inputs}
    feeds = [
        {**one.feeds, **{key: _shaped(one.tensors[name], shapes[key]) for key, name in given.items()}}
        for one in answers
    ]
    for answer, one in zip(run(replace(plan.model), feeds), answers, strict=True):
        for key, value in made.items():
            wanted = one.tensors[names[value]].reshape(-1).astype(np.float64)
            apart = np.abs(answer[key].reshape(-1).astype(np.float64) - wanted) / float(plan.grids[value].scale)
            largest[key] = max(largest[key], float(apart.max(initial=0.0)))
            differing[key] += int((apart > 0.5).sum())
            sizes[key] += apart.size
    return [
        LayerAgreement(judged[value], largest[key], differing[key] / max(1, sizes[key])) for key, value in made.items()
    ]


def part(
    plan: QuantizationPlan, names: Mapping[ir.Value, str], judged: Mapping[ir.Value, str]
) -> tuple[dict[str, str], dict[str, ir.Value]]:
    """Cuts the quantised graph in front of its pairs, in place, so that what is wrong in one layer stays there.

    Args:
        plan: its graph has its pairs already.
        names: the tensors that are given instead of computed, with the names they had.
        judged: of those, the ones that are compared.

    Returns:
        New input -> the tensor to be given; output -> the tensor it is to be compared with.
    """
    graph = plan.graph
    given: dict[str, str] = {}
    made: dict[str, ir.Value] = {}
    outputs: list[ir.Value] = []
    for index, (value, quantize) in enumerate(_quantizers(plan, names)):
        source, parameters = quantize.inputs[0], quantize.inputs[1:]
        if value in judged and source is not None:
            codes = ir.node("QuantizeLinear", [source, *parameters], name=f"made_{index}_codes")
            reals = ir.node("DequantizeLinear", [codes.outputs[0], *parameters], name=f"made_{index}")
            codes.outputs[0].name, reals.outputs[0].name = f"made_{index}_codes", f"made_{index}"
            reals.outputs[0].dtype = ir.DataType.FLOAT
            graph.insert_after(quantize, [codes, reals])
            outputs.append(reals.outputs[0])
            made[f"made_{index}"] = value
        if not value.is_graph_input():
            fed = ir.Value(name=f"given_{index}", type=ir.TensorType(ir.DataType.FLOAT), shape=value.shape)
            graph.inputs.append(fed)
            given[f"given_{index}"] = names[value]
            quantize.replace_input_with(0, fed)
    graph.outputs[:] = outputs
    return given, made


def _shaped(array: Array, shape: ir.Shape | None) -> Array:
    """``array`` as the ONNX form has it, which may write the same numbers with other axes of size 1."""
    if shape is None or len(shape) == array.ndim:
        return array
    sizes = [dim if isinstance(dim, int) else -1 for dim in shape]
    return array.reshape(sizes) if sizes.count(-1) <= 1 else array


def _quantizers(plan: QuantizationPlan, names: Mapping[ir.Value, str]) -> Iterator[tuple[ir.Value, ir.Node]]:
    """Each of ``names`` with the QuantizeLinear that reads it, or that reads what stood in front of its clamp."""
    before = {op.output: op.node.outputs[0] for op in plan.placement.ops}
    for value in names:
        for source in dict.fromkeys((value, before.get(value, value))):
            found = [node for node, index in source.uses() if index == 0 and is_standard(node, "QuantizeLinear")]
            if found:
                yield value, found[0]
                break


def _end_to_end(wanted: Sequence[Sequence[Array]], found: Sequence[Sequence[Array]]) -> tuple[float, float | None]:
    """Cosine of all outputs, and the share of samples with the same answer where the first output is scores."""
    pairs = [(one, other) for ours, theirs in zip(wanted, found, strict=True) for one, other in zip(ours, theirs)]  # noqa: B905
    left = np.concatenate([np.asarray(one, np.float64).reshape(-1) for one, _ in pairs])
    right = np.concatenate([np.asarray(other, np.float64).reshape(-1) for _, other in pairs])
    norms = float(np.linalg.norm(left) * np.linalg.norm(right))
    cosine = float(left @ right) / norms if norms else float(np.array_equal(left, right))
    first = [(ours[0], theirs[0]) for ours, theirs in zip(wanted, found, strict=True)]
    if any(one.ndim != 2 or one.shape[1] < 2 for one, _ in first):
        return cosine, None
    return cosine, float(np.mean([np.mean(one.argmax(1) == other.argmax(1)) for one, other in first]))


def _noted(agreement: Agreement) -> Agreement:
    worst = agreement.worst
    end = f"end to end the cosine is {agreement.cosine:.5f}"
    if agreement.same_answers is not None:
        end += f", {agreement.same_answers:.0%} of the answers are the same"
    if worst is None:
        return replace(agreement, notes=(Note("skipped", "graph", f"no layer to compare with those trained; {end}"),))
    text = f"{len(agreement.layers)} layers differ by {worst.steps:.2f} steps at most from those trained; {end}"
    if worst.steps <= MOST_STEPS:
        return replace(agreement, notes=(Note("did", worst.layer, text),))
    text = f"lowering does not write what was trained: {text}; {worst.differing:.2%} of this layer's values differ"
    return replace(agreement, notes=(Note("warning", worst.layer, text),))
