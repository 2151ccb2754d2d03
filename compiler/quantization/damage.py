"""How much each quantised layer moves the model's outputs when it alone is quantised.

One model answers for all layers: every layer has both its float and its quantised form, and a switch, an extra input
of the graph, chooses between them. So a ranking is one session and many cheap runs, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute
from edgewright.compiler.pass_base import LayerDamage
from edgewright.compiler.quantization.calibration import sample_count
from edgewright.compiler.quantization.dynamic import dynamic_weight
from edgewright.compiler.quantization.grid import FloatArray, Grid
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
        self._graph = graph = model.ir.graph
        self._switches = ir.Input(_free_name(graph), ir.Shape([self._layers]), ir.TensorType(ir.DataType.BOOL))
        self._count = 0
        flags = [self._flag(index) for index in range(self._layers)]
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
        node = layer.node
        for index, grid in layer.activations:
            value = node.inputs[index]
            assert value is not None
            rounded = self._rounded(value, grid, before=node)
            node.replace_input_with(index, self._node("Where", [flag, rounded, value], before=node))
        if layer.weight is not None:
            index, reals = layer.weight
            stored = [flag, self._constant(reals), node.inputs[index]]
            node.replace_input_with(index, self._node("Where", stored, before=node))

    def _rounded(self, value: ir.Value, grid: Grid | None, before: ir.Node) -> ir.Value:
        if grid is not None:
            parameters = [self._constant(grid.scale), self._constant(grid.zero_point_array())]
            codes = self._node("QuantizeLinear", [value, *parameters], before=before)
            return self._node("DequantizeLinear", [codes, *parameters], before=before)
        node = ir.node("DynamicQuantizeLinear", [value], num_outputs=3, name=self._name("DynamicQuantizeLinear"))
        for output in node.outputs:
            output.name = self._name("value")
        self._graph.insert_before(before, node)
        return self._node("DequantizeLinear", list(node.outputs), before=before)

    def _switch_output(self, value: ir.Value, grid: Grid, flag: ir.Value) -> None:
        uses = list(value.uses())
        maker = value.producer()
        assert maker is not None
        # A place to insert before, right behind the maker.
        anchor = ir.node("Identity", [value], name=self._name("Identity"))
        self._graph.insert_after(maker, anchor)
        rounded = self._rounded(value, grid, before=anchor)
        result = self._node("Where", [flag, rounded, value], before=anchor)
        self._graph.remove(anchor, safe=True)
        for node, index in uses:
            node.replace_input_with(index, result)
        if value.is_graph_output():
            name, value.name = value.name, f"{result.name}_float"
            result.name, result.type, result.shape = name, value.type, value.shape
            self._graph.outputs[:] = [result if item is value else item for item in self._graph.outputs]

    def _flag(self, index: int) -> ir.Value:
        position = self._constant(np.asarray(index, np.int64))
        return self._node("Gather", [self._switches, position], before=self._graph[0])

    def _node(self, kind: str, inputs: Sequence[ir.Value | None], before: ir.Node) -> ir.Value:
        node = ir.node(kind, inputs, name=self._name(kind))
        node.outputs[0].name = self._name("value")
        self._graph.insert_before(before, node)
        return node.outputs[0]

    def _constant(self, array: npt.NDArray[np.generic]) -> ir.Value:
        name = self._name("constant")
        value = ir.Value(name=name, const_value=ir.tensor(array, name=name))
        self._graph.register_initializer(value)
        return value

    def _name(self, kind: str) -> str:
        self._count += 1
        return f"{self._switches.name}_{kind}_{self._count}"


def _free_name(graph: ir.Graph) -> str:
    """A prefix that no name of the graph starts with."""
    names = [*graph.initializers, *(value.name or "" for value in graph.inputs)]
    names += [value.name or "" for node in graph.all_nodes() for value in node.outputs]
    prefix = "switches"
    while any(name.startswith(prefix) for name in names):
        prefix += "_"
    return prefix


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
