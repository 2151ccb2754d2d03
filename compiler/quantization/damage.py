"""How much each quantised layer moves the model's outputs when it alone is quantised.

One model answers for all layers: every layer has both its float and its quantised form, and a switch, an extra input
of the graph, chooses between them. So a ranking is one session and many cheap runs, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute
from edgewright.compiler.pass_base import LayerDamage
from edgewright.compiler.quantization.calibration import sample_count
from edgewright.compiler.quantization.construction import GraphBuilder
from edgewright.compiler.quantization.dynamic import dynamic_weight
from edgewright.compiler.quantization.grid import FLOAT8, FloatArray, Grid
from edgewright.compiler.quantization.insertion import quantized_weight
from edgewright.compiler.quantization.operators import Role
from edgewright.compiler.quantization.planning import QuantizationPlan
from edgewright.compiler.site import Absent, Site
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import QuantRule

SAMPLES = 4
RUNS = 400
"""Inferences a ranking may spend; with more layers than that allows, neighbours are first judged together."""


@dataclass(frozen=True, eq=False)
class _Layer:
    """One layer in both forms."""

    node: ir.Node
    activations: tuple[tuple[int, Grid | None], ...]
    """Inputs to be rounded and on which grid; None for the range of the moment."""
    weight: tuple[int, FloatArray] | None
    """Which input is the weight, and what its codes stand for."""
    output: tuple[ir.Value, Grid] | None


def rank_damage(plan: QuantizationPlan, site: Site) -> list[LayerDamage]:
    """The layers of ``plan``, whose model is used up, the one whose quantisation moves the outputs most first.

    The error is the squared difference of all outputs relative to their squared size, averaged over a few calibration
    samples spread over the set; for integer outputs the share of elements that changed.

    Raises:
        UsageError: there are no samples, or nothing to run the model with.
    """
    layers = []
    for op in plan.placement.ops:
        if op.operator.role is Role.MOVER:
            continue
        values = {index: op.node.inputs[index] for index in op.activations}
        read = tuple((index, plan.grids[value]) for index, value in values.items() if value in plan.grids and value)
        source = op.node.inputs[op.activations[0]]
        weight = None
        if op.weight is not None and source is not None:
            rounded = quantized_weight(op, plan.grids[source], plan.policy)
            assert rounded is not None
            weight = (op.weight, rounded.reals)
        made = (op.output, plan.grids[op.output]) if op.output in plan.placement.produced else None
        layers.append(_Layer(op.node, read, weight, made))
    return _rank(plan.model, layers, site)


def rank_dynamic_damage(model: OnnxModel, nodes: Sequence[ir.Node], rule: QuantRule, site: Site) -> list[LayerDamage]:
    """As :func:`rank_damage`, for ``nodes`` of ``model`` (used up) that are to be quantised dynamically."""
    layers = []
    for node in nodes:
        weight = dynamic_weight(node, rule).reals
        if node.op_type == "Gemm" and int_attribute(node, "transB", 0):
            weight = np.ascontiguousarray(weight.T)
        layers.append(_Layer(node, ((0, None),), (1, weight), None))
    return _rank(model, layers, site)


def _rank(model: OnnxModel, layers: Sequence[_Layer], site: Site) -> list[LayerDamage]:
    if not layers:
        return []
    samples = sample_count(site, SAMPLES)
    switched = _Switched(model, layers)
    most = max(1, RUNS // samples // 2)
    groups = [tuple(part.tolist()) for part in np.array_split(np.arange(len(layers)), min(len(layers), most))]
    errors = switched.errors(groups, site, samples)
    if len(groups) < len(layers):
        order = np.argsort(-np.asarray(errors), kind="stable")
        singles = [(index,) for group in order for index in groups[group]][:most]
        rest = {index: errors[group] / len(groups[group]) for group in order for index in groups[group]}
        alone = switched.errors(singles, site, samples)
        rest.update({one[0]: error for one, error in zip(singles, alone, strict=True)})
        errors = [rest[index] for index in range(len(layers))]
    ranked = sorted(zip(layers, errors, strict=True), key=lambda pair: -pair[1])
    return [LayerDamage(layer.node.name or "", float(error)) for layer, error in ranked]


class _Switched:
    """A model, used up, with a switch per layer."""

    def __init__(self, model: OnnxModel, layers: Sequence[_Layer]) -> None:
        self._layers = len(layers)
        graph = model.ir.graph
        self._builder = GraphBuilder(graph)
        name = self._builder.free_name("layer_switches")
        self._switches = ir.val(name, ir.DataType.BOOL, [self._layers])
        flags = [self._flag(index, graph[0]) for index in range(self._layers)]
        for layer, flag in zip(layers, flags, strict=True):
            self._switch_inputs(layer, flag)
        # Outputs come last: until here every grid's tensor is still the one its readers read.
        for layer, flag in zip(layers, flags, strict=True):
            if layer.output is not None:
                self._switch_output(*layer.output, flag)
        graph.inputs.append(self._switches)
        self._model = replace(model)

    def errors(self, groups: Sequence[tuple[int, ...]], site: Site, samples: int) -> list[float]:
        """Each group's error when its layers alone are int8."""
        assert not isinstance(site.run, Absent)
        runs = site.run(self._model, self._feeds(groups, site, samples))
        sums = np.zeros(len(groups))
        for sample in range(samples):
            reference = next(runs)
            for index in range(len(groups)):
                sums[index] += _difference(reference, next(runs))
                done = sample * len(groups) + index + 1
                site.progress("ranking layers", done / (samples * len(groups)))
        return [float(total) / samples for total in sums]

    def _feeds(self, groups: Sequence[tuple[int, ...]], site: Site, samples: int) -> Iterator[Feeds]:
        assert not isinstance(site.samples, Absent)
        stride = max(1, len(site.samples) // samples)
        name = self._switches.name or ""
        for feeds in islice(site.samples, 0, stride * (samples - 1) + 1, stride):
            for group in [(), *groups]:
                state = np.zeros(self._layers, np.bool_)
                state[list(group)] = True
                yield {**feeds, name: state}

    def _switch_inputs(self, layer: _Layer, flag: ir.Value) -> None:
        node, build = layer.node, self._builder
        for index, grid in layer.activations:
            value = node.inputs[index]
            assert value is not None
            rounded = self._rounded(value, grid, before=node)
            node.replace_input_with(index, build.before(node, "Where", [flag, rounded, value], "switched"))
        if layer.weight is not None:
            index, reals = layer.weight
            stored = [flag, build.constant("switched_weight", reals), node.inputs[index]]
            node.replace_input_with(index, build.before(node, "Where", stored, "switched"))

    def _rounded(self, value: ir.Value, grid: Grid | None, before: ir.Node) -> ir.Value:
        build = self._builder
        if grid is None:
            made = build.node("DynamicQuantizeLinear", [value], "switched_codes", outputs=3)
            build.graph.insert_before(before, made)
            return build.before(before, "DequantizeLinear", made.outputs, "switched_reals")
        scale = build.constant("switched_scale", grid.scale)
        if grid.dtype == FLOAT8:
            return self._rounded_to_float8(value, grid, scale, before)
        zero = build.constant("switched_zero_point", grid.zero_point_array())
        codes = build.before(before, "QuantizeLinear", [value, scale, zero], "switched_codes")
        return build.before(before, "DequantizeLinear", [codes, scale, zero], "switched_reals")

    def _rounded_to_float8(self, value: ir.Value, grid: Grid, scale: ir.Value, before: ir.Node) -> ir.Value:
        """By Casts: onnxruntime (1.31) takes such pairs for int8 when it optimises, and fails."""
        build = self._builder
        steps = build.before(before, "Div", [value, scale], "switched_steps")
        for kind in (ir.DataType[grid.dtype.upper()], ir.DataType.FLOAT):
            steps = build.before(before, "Cast", [steps], "switched_codes", [ir.AttrInt64("to", kind.value)])
        return build.before(before, "Mul", [steps, scale], "switched_reals")

    def _switch_output(self, value: ir.Value, grid: Grid, flag: ir.Value) -> None:
        readers = list(value.uses())
        # A place to insert before, right behind the maker.
        place = self._builder.node("Identity", [value], "switched_place")
        self._builder.behind(value, [place])
        rounded = self._rounded(value, grid, before=place)
        result = self._builder.before(place, "Where", [flag, rounded, value], "switched")
        self._builder.graph.remove(place, safe=True)
        for node, index in readers:
            node.replace_input_with(index, result)
        if value.is_graph_output():
            self._builder.hand_over(value, result)

    def _flag(self, index: int, first: ir.Node) -> ir.Value:
        position = self._builder.constant("switch_position", np.asarray(index, np.int64))
        return self._builder.before(first, "Gather", [self._switches, position], "switch")


def _difference(reference: Outputs, answer: Outputs) -> float:
    """Squared relative difference over all outputs; not-a-number counts as wholly wrong."""
    total = 0.0
    for name, want in reference.items():
        have = answer[name]
        if want.shape != have.shape:
            total += 1.0
        elif np.issubdtype(want.dtype, np.floating):
            wanted, had = want.astype(np.float64), have.astype(np.float64)
            size = float(np.sum(wanted * wanted))
            error = float(np.sum((had - wanted) ** 2))
            total += error / max(size, 1e-30) if np.isfinite(error) and np.isfinite(size) else 1.0
        elif want.size:
            total += float(np.mean(want != have))
    return total / max(len(reference), 1)
