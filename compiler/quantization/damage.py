"""How much each quantised layer moves the model's outputs when it alone is quantised.

One model answers for all layers: every layer has both its float and its quantised form, and a switch, an extra input
of the graph, chooses between them. So a ranking is one session and many cheap runs, whatever the number of layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.pass_base import LayerDamage
from edgewright.compiler.quantization.insertion import quantized_weight
from edgewright.compiler.quantization.operators import Role
from edgewright.compiler.quantization.placement import QuantizedOp, is_constant
from edgewright.compiler.quantization.planning import QuantizationPlan
from edgewright.compiler.site import Absent, Site
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Feeds, Outputs

SAMPLES = 4
RUNS = 400
"""Inferences a ranking may spend; with more layers than that allows, neighbours are first judged together."""


def rank_damage(plan: QuantizationPlan, site: Site) -> list[LayerDamage]:
    """The layers of ``plan``, the one whose quantisation moves the outputs most first.

    The error is the squared difference of all outputs relative to their squared size, averaged over a few calibration
    samples spread over the set; for integer outputs the share of elements that changed.

    Raises:
        UsageError: there are no samples, or nothing to run the model with.
    """
    if isinstance(site.samples, Absent) or isinstance(site.run, Absent):
        absent = site.samples if isinstance(site.samples, Absent) else site.run
        raise UsageError(
            f"layers cannot be ranked: {absent.reason if isinstance(absent, Absent) else ''}", "Give --data."
        )
    layers = [op for op in plan.placement.ops if op.operator.role is not Role.MOVER]
    if not layers:
        return []
    switched = _Switched(plan, layers)
    samples = min(SAMPLES, len(site.samples))
    most = max(1, RUNS // samples // 2)
    groups = [tuple(part) for part in np.array_split(np.arange(len(layers)), min(len(layers), most))]
    errors = switched.errors(groups, site, samples)
    if len(groups) < len(layers):
        order = np.argsort(-np.asarray(errors), kind="stable")
        singles = [(int(index),) for group in order for index in groups[group]][:most]
        rest = {int(index): errors[group] / len(groups[group]) for group in order for index in groups[group]}
        rest.update(
            {one[0]: error for one, error in zip(singles, switched.errors(singles, site, samples), strict=True)}
        )
        errors = [rest[index] for index in range(len(layers))]
    ranked = sorted(zip(layers, errors, strict=True), key=lambda pair: -pair[1])
    return [LayerDamage(op.node.name or "", float(error)) for op, error in ranked]


class _Switched:
    """The plan's model, used up, with a switch per layer."""

    def __init__(self, plan: QuantizationPlan, layers: Sequence[QuantizedOp]) -> None:
        self._layers = len(layers)
        self._graph = graph = plan.graph
        self._switches = ir.Input(_free_name(graph), ir.Shape([self._layers]), ir.TensorType(ir.DataType.BOOL))
        self._count = 0
        flags = [self._flag(index) for index in range(self._layers)]
        for op, flag in zip(layers, flags, strict=True):
            self._switch_inputs(plan, op, flag)
        for op, flag in zip(layers, flags, strict=True):
            if op.output in plan.placement.produced:
                self._switch_output(plan, op.output, flag)
        graph.inputs.append(self._switches)
        self._model = replace(plan.model)

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

    def _switch_inputs(self, plan: QuantizationPlan, op: QuantizedOp, flag: ir.Value) -> None:
        node = op.node
        source = node.inputs[op.activations[0]]
        for index in op.activations:
            value = node.inputs[index]
            if value is None or is_constant(value):
                continue
            grid = plan.grids[value]
            parameters = [self._constant(grid.scale), self._constant(grid.zero_point_array())]
            codes = self._node("QuantizeLinear", [value, *parameters], before=node)
            reals = self._node("DequantizeLinear", [codes, *parameters], before=node)
            node.replace_input_with(index, self._node("Where", [flag, reals, value], before=node))
        if op.weight is not None and source is not None:
            weight = quantized_weight(op, plan.grids[source], plan.policy)
            assert weight is not None
            stored = [flag, self._constant(weight.reals), node.inputs[op.weight]]
            node.replace_input_with(op.weight, self._node("Where", stored, before=node))

    def _switch_output(self, plan: QuantizationPlan, value: ir.Value, flag: ir.Value) -> None:
        grid = plan.grids[value]
        uses = list(value.uses())
        maker = value.producer()
        assert maker is not None
        parameters = [self._constant(grid.scale), self._constant(grid.zero_point_array())]
        codes = self._node("QuantizeLinear", [value, *parameters], after=maker)
        reals = self._node("DequantizeLinear", [codes, *parameters], after=codes.producer())
        result = self._node("Where", [flag, reals, value], after=reals.producer())
        for node, index in uses:
            node.replace_input_with(index, result)
        if value.is_graph_output():
            name, value.name = value.name, f"{result.name}_float"
            result.name, result.type, result.shape = name, value.type, value.shape
            self._graph.outputs[:] = [result if item is value else item for item in self._graph.outputs]

    def _flag(self, index: int) -> ir.Value:
        position = self._constant(np.asarray(index, np.int64))
        return self._node("Gather", [self._switches, position], before=self._graph[0])

    def _node(
        self,
        kind: str,
        inputs: Sequence[ir.Value | None],
        before: ir.Node | None = None,
        after: ir.Node | None = None,
    ) -> ir.Value:
        node = ir.node(kind, inputs, name=self._name(kind))
        node.outputs[0].name = self._name("value")
        if before is not None:
            self._graph.insert_before(before, node)
        elif after is not None:
            self._graph.insert_after(after, node)
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
