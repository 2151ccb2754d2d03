"""Writes Q/DQ pairs, 8-bit weights and biases into a graph, as a placement and its grids say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import is_standard, sole_consumer
from edgewright.compiler.quantization.construction import GraphBuilder
from edgewright.compiler.quantization.existing import OwnPair, own_pair, same_grid
from edgewright.compiler.quantization.grid import FLOAT8, SMALLEST_PRODUCT, Grid, grid_over
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.quantization.prepare import numbers
from edgewright.compiler.quantization.quantized_op import QuantizedOp, is_constant
from edgewright.compiler.quantization.weights import QuantizedTensor, bias_floor, quantize_bias, quantize_weight
from edgewright.targets.schema import QuantRule


@dataclass(frozen=True)
class WeightPolicy:
    """How constants become codes."""

    rule: QuantRule
    clip: bool = False
    """Search each weight scale for the least squared error."""
    scales: str = "float32"
    """The type that scales will be written in."""

    @property
    def bias_in_codes(self) -> bool:
        """Whether biases become int32 codes on the accumulator's grid; a sum of float8 products has none."""
        return self.rule.bias == "int32" and self.rule.weight != FLOAT8


def insert(graph: ir.Graph, placement: Placement, grids: Mapping[ir.Value, Grid], policy: WeightPolicy) -> None:
    """Rewrites ``graph`` in place: activations through Q/DQ pairs, constants as codes through DQ, clamps folded away.

    Args:
        graph: the main graph the placement was made for.
        placement: which operators and tensors.
        grids: for each tensor of ``placement.grids``, its grid.
        policy: how weights and biases are stored.
    """
    writer = Writer(graph)
    readers = _readers(placement)
    for op in placement.ops:
        _write_constants(op, grids, policy, writer)
    for value in placement.grids:
        pair = own_pair(value)
        if pair is not None and same_grid(pair.grid, grids[value]) and not value.is_graph_output():
            writer.share(value, pair, None if value in placement.produced else readers.get(value, []))
        elif value in placement.produced:
            writer.replace_with_codes(value, grids[value])
        elif value not in placement.carried:
            writer.feed_codes(value, grids[value], readers.get(value, []))
    for op in placement.ops:
        if op.clamp is not None and op.output in placement.produced:
            _fold_clamp(op, op.clamp, grids[op.output])
    for op in placement.ops:
        if op.node.op_type == "MatMul" and (reader := sole_consumer(op.node.outputs[0])) is not None:
            writer.lay_bias(reader, op.node.outputs[0])


def weight_bits(rule: QuantRule) -> int:
    """Bits of a weight code under ``rule``."""
    return 7 if rule.reduce_range else 8


def quantized_weight(op: QuantizedOp, input_grid: Grid, policy: WeightPolicy) -> QuantizedTensor | None:
    """The codes of an anchor's weight, None for operators without one."""
    if op.weight is None:
        return None
    weight = numbers(op.node.inputs[op.weight])
    axis = weight_axis(op, policy.rule)
    reach = np.abs(weight).max(axis=tuple(index for index in range(weight.ndim) if index != axis))
    floor = np.full(1, SMALLEST_PRODUCT / float(input_grid.scale))
    if op.bias is not None and policy.bias_in_codes:
        bias = numbers(op.node.inputs[op.bias])
        floor = np.maximum(floor, bias_floor(bias, float(input_grid.scale), np.broadcast_to(reach, bias.shape)))
    return quantize_weight(
        weight,
        axis,
        bits=weight_bits(policy.rule),
        clip=policy.clip,
        floor=floor,
        dtype=policy.rule.weight,
        scales=policy.scales,
    )


def weight_axis(op: QuantizedOp, rule: QuantRule) -> int | None:
    """The axis of the weight that has a scale each under ``rule``, None for one scale."""
    node = op.node
    axis = rule.per_channel_axes.get(node.op_type)
    if axis is None:
        return None
    if node.op_type == "Gemm":
        return 0 if node.attributes.get_int("transB", 0) else 1
    if node.op_type == "ConvTranspose" and node.attributes.get_int("group", 1) != 1:
        return None
    return axis


def _write_constants(op: QuantizedOp, grids: Mapping[ir.Value, Grid], policy: WeightPolicy, writer: Writer) -> None:
    node = op.node
    for index in op.activations:
        value = node.inputs[index]
        if value is not None and is_constant(value):
            reals = numbers(value)
            low, high = float(reals.min(initial=0.0)), float(reals.max(initial=0.0))
            grid = grid_over(low, high, policy.rule.activation, policy.rule.activation_symmetric, policy.scales)
            writer.store(node, index, QuantizedTensor(grid.codes(reals), grid))
    source = node.inputs[op.activations[0]]
    if op.weight is None or source is None:
        return
    weight = quantized_weight(op, grids[source], policy)
    assert weight is not None
    writer.store(node, op.weight, weight)
    if op.bias is not None and policy.bias_in_codes:
        bias = numbers(node.inputs[op.bias])
        writer.store(node, op.bias, quantize_bias(bias, float(grids[source].scale), weight.grid))


def _readers(placement: Placement) -> dict[ir.Value, list[tuple[ir.Node, int]]]:
    readers: dict[ir.Value, list[tuple[ir.Node, int]]] = {}
    for op in placement.ops:
        for index in op.activations:
            value = op.node.inputs[index]
            if value is not None:
                readers.setdefault(value, []).append((op.node, index))
    return readers


def _fold_clamp(op: QuantizedOp, clamp: ir.Node, grid: Grid) -> None:
    """Removes a clamp that the grid's ends stand for."""
    if not grid.clamps(*clamp_bounds(clamp)):
        return
    clamped, source = clamp.outputs[0], op.node.outputs[0]
    clamped.replace_all_uses_with(source)
    assert clamp.graph is not None
    clamp.graph.remove(clamp, safe=True)


def clamp_bounds(clamp: ir.Node) -> tuple[float, float]:
    """Lowest and highest value that a Relu or Clip (with constant bounds) lets through."""
    if clamp.op_type == "Relu":
        return 0.0, float("inf")
    bounds = [-float("inf"), float("inf")]
    for index, value in enumerate(clamp.inputs[1:3]):
        if value is not None:
            bounds[index] = float(numbers(value))
    return bounds[0], bounds[1]


class Writer:
    """Writes codes into one graph."""

    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._builder = GraphBuilder(graph)
        self._stored: dict[tuple[str, bytes], ir.Value] = {}
        self._rows: dict[ir.Value, ir.Value] = {}

    def replace_with_codes(self, value: ir.Value, grid: Grid) -> None:
        """All readers of ``value``, the caller of the graph among them, get it after a trip through codes."""
        readers = list(value.uses())
        result = self._round_trip(value, grid)
        if value.is_graph_output():
            self._builder.hand_over(value, result)
        for node, index in readers:
            node.replace_input_with(index, result)

    def feed_codes(self, value: ir.Value, grid: Grid, readers: list[tuple[ir.Node, int]]) -> None:
        """``readers`` get ``value`` after a trip through codes; others keep it as it is."""
        result = self._round_trip(value, grid)
        for node, index in readers:
            node.replace_input_with(index, result)

    def share(self, value: ir.Value, pair: OwnPair, readers: list[tuple[ir.Node, int]] | None) -> None:
        """``readers``, or all of them, get ``value`` from the pair that the model brought."""
        readers = list(value.uses()) if readers is None else readers
        for node in (pair.dequantize, pair.quantize):
            self._graph.remove(node)
        self._builder.behind(value, [pair.quantize, pair.dequantize])
        for node, index in readers:
            if node is not pair.quantize:
                node.replace_input_with(index, pair.dequantize.outputs[0])

    def store(self, node: ir.Node, index: int, tensor: QuantizedTensor) -> None:
        """Input ``index`` of ``node``, a constant, becomes stored codes and a DQ."""
        value = node.inputs[index]
        assert value is not None
        key = (value.name or "", tensor.codes.tobytes() + tensor.grid.scale.tobytes())
        if key not in self._stored:
            base = value.name or "constant"
            codes = self._builder.constant(f"{base}_codes", tensor.codes)
            attributes = [] if tensor.grid.axis is None else [ir.AttrInt64("axis", tensor.grid.axis)]
            inputs = [codes, *self._parameters(base, tensor.grid)]
            dequantize = self._builder.node("DequantizeLinear", inputs, f"{base}_dequantize", attributes)
            result = dequantize.outputs[0]
            result.dtype, result.shape = ir.DataType.FLOAT, ir.Shape(tensor.codes.shape)
            self._graph.insert_before(self._graph[0], dequantize)
            self._stored[key] = result
        node.replace_input_with(index, self._stored[key])
        if not value.uses() and not value.is_graph_output():
            self._graph.initializers.pop(value.name or "", None)

    def lay_bias(self, add: ir.Node, product: ir.Value) -> None:
        """The constant that ``add`` adds to a quantised matrix product becomes a row, ``(N)`` to ``(1, N)``.

        onnxruntime (1.31, ``MatMulAddFusion``) takes MatMul and the Add of a bias of one axis for a float Gemm before
        it looks for integer kernels, and then finds none: that made an int8 MiniLM five times as slow as with rows.
        """
        if not is_standard(add, "Add") or product.shape is None or len(product.shape) < 3:
            return
        index = 1 if add.inputs[0] is product else 0
        bias = add.inputs[index]
        if bias is None or bias is product or not is_constant(bias) or numbers(bias).ndim != 1:
            return
        if bias not in self._rows:
            self._rows[bias] = self._builder.constant(f"{bias.name}_row", numbers(bias)[None])
        add.replace_input_with(index, self._rows[bias])
        if not bias.uses() and not bias.is_graph_output():
            self._graph.initializers.pop(bias.name or "", None)

    def _round_trip(self, value: ir.Value, grid: Grid) -> ir.Value:
        base = value.name or "tensor"
        parameters = self._parameters(base, grid)
        quantize = self._builder.node("QuantizeLinear", [value, *parameters], f"{base}_quantize")
        codes = quantize.outputs[0]
        codes.dtype, codes.shape = ir.DataType[grid.dtype.upper()], value.shape
        dequantize = self._builder.node("DequantizeLinear", [codes, *parameters], f"{base}_dequantize")
        dequantize.outputs[0].dtype, dequantize.outputs[0].shape = ir.DataType.FLOAT, value.shape
        self._builder.behind(value, [quantize, dequantize])
        return dequantize.outputs[0]

    def _parameters(self, base: str, grid: Grid) -> list[ir.Value]:
        scale = self._builder.constant(f"{base}_scale", grid.scale)
        return [scale, self._builder.constant(f"{base}_zero_point", grid.zero_point_array())]
