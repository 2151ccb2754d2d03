"""Dynamic int8: weights as codes, each activation's range found by the runtime when it comes by.

``y = x W + b`` becomes ``xc, s, z = DynamicQuantizeLinear(x)``, ``y = float(MatMulInteger(xc, Wc, z)) * (s * sW) + b``:
the form that runtimes recognise and fuse into one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import input_at, int_attribute
from edgewright.compiler.quantization.construction import GraphBuilder
from edgewright.compiler.quantization.insertion import weight_bits
from edgewright.compiler.quantization.logarithms import in_front_of_log
from edgewright.compiler.quantization.operators import OPERATORS
from edgewright.compiler.quantization.placement import refusal
from edgewright.compiler.quantization.prepare import numbers
from edgewright.compiler.quantization.quantized_op import is_constant
from edgewright.compiler.quantization.weights import QuantizedTensor, quantize_weight
from edgewright.targets.schema import QuantRule, QuantScheme

SUPPORTED = frozenset({"MatMul", "Gemm", "Conv"})
"""The kinds that have a dynamic integer form in ONNX."""


@dataclass(frozen=True)
class DynamicPlacement:
    """Which nodes become integer, and why others that the scheme names do not."""

    nodes: tuple[ir.Node, ...]
    refused: dict[str, str]


def place_dynamic(
    graph: ir.Graph, scheme: QuantScheme, keep_float: frozenset[str], keep_kinds: frozenset[str]
) -> DynamicPlacement:
    """Decides for ``graph`` (prepared) what ``scheme`` quantises dynamically."""
    nodes, refused = [], {}
    delicate = in_front_of_log(graph)
    for node in graph:
        if node.domain not in ("", "ai.onnx") or node.op_type not in scheme.op_kinds:
            continue
        reason = refusal(node, keep_float, keep_kinds, delicate)
        if reason is None and node.op_type not in SUPPORTED:
            reason = f"{node.op_type} has no dynamic integer form"
        if reason is None and node.op_type == "Gemm" and int_attribute(node, "transA", 0):
            reason = "its activation is transposed"
        if reason is None:
            nodes.append(node)
        else:
            refused[node.name or ""] = reason
    return DynamicPlacement(tuple(nodes), refused)


def dynamic_weight(node: ir.Node, rule: QuantRule) -> QuantizedTensor:
    """The codes of the weight of a MatMul or Gemm (as rows x columns) or a Conv, a scale per output channel."""
    operator = OPERATORS[node.op_type]
    assert operator.weight is not None
    weight = numbers(node.inputs[operator.weight])
    if node.op_type == "Gemm" and int_attribute(node, "transB", 0):
        weight = np.ascontiguousarray(weight.T)
    axis = (0 if node.op_type == "Conv" else 1) if node.op_type in rule.per_channel_axes else None
    return quantize_weight(weight, axis, bits=weight_bits(rule))


class DynamicWriter:
    """Rewrites nodes of one graph in place."""

    def __init__(self, graph: ir.Graph, rule: QuantRule) -> None:
        self._graph, self._rule = graph, rule
        self._builder = GraphBuilder(graph)
        self._quantized: dict[ir.Value, ir.Node] = {}

    def write(self, node: ir.Node) -> None:
        """Puts the dynamic integer form in the place of ``node``."""
        source, build = node.inputs[0], self._builder
        assert source is not None
        weight = dynamic_weight(node, self._rule)
        base = node.outputs[0].name or node.op_type
        codes, scale, zero = self._quantize(source).outputs
        stored = build.constant(f"{base}_weight_codes", weight.codes)
        convolution = node.op_type == "Conv"
        # onnxruntime 1.31 takes one zero point for a convolution's weight; all of them are 0 anyway.
        zeros = np.asarray(0, np.int8) if convolution else weight.grid.zero_point_array()
        weight_zero = build.constant(f"{base}_weight_zero_point", zeros)
        kind, attributes = ("ConvInteger", list(node.attributes.values())) if convolution else ("MatMulInteger", [])
        product = build.before(node, kind, [codes, stored, zero, weight_zero], f"{base}_integer", attributes)
        real = build.before(node, "Cast", [product], f"{base}_cast", [ir.AttrInt64("to", ir.DataType.FLOAT)])
        # Behind the channels of a convolution's result come its spatial axes.
        behind = [1] * (weight.codes.ndim - 2) if convolution and weight.grid.axis is not None else []
        factor = weight.grid.scale.reshape(-1, *behind) if behind else weight.grid.scale
        weight_scale = build.constant(f"{base}_weight_scale", factor)
        both = build.before(node, "Mul", [scale, weight_scale], f"{base}_scales")
        last = build.before(node, "Mul", [real, both], f"{base}_scaled")
        bias = input_at(node, 2)
        if node.op_type != "MatMul" and bias is not None:
            if convolution:
                bias = build.constant(f"{base}_bias", numbers(bias).reshape(-1, *[1] * (weight.codes.ndim - 2)))
            last = build.before(node, "Add", [last, bias], f"{base}_biased")
        self._take_place(node, last)

    def _quantize(self, value: ir.Value) -> ir.Node:
        """The node that makes codes, scale and zero point of an activation; one, however many read it."""
        if value not in self._quantized:
            node = self._builder.node("DynamicQuantizeLinear", [value], f"{value.name}_quantize", outputs=3)
            self._builder.behind(value, [node])
            self._quantized[value] = node
        return self._quantized[value]

    def _take_place(self, node: ir.Node, last: ir.Value) -> None:
        result = node.outputs[0]
        last.type, last.shape = result.type, result.shape
        if result.is_graph_output():
            self._builder.hand_over(result, last)
        for reader, index in list(result.uses()):
            reader.replace_input_with(index, last)
        inputs = [value for value in node.inputs[1:] if value is not None]
        self._graph.remove(node, safe=True)
        for value in inputs:
            if is_constant(value) and not value.uses() and not value.is_graph_output():
                self._graph.initializers.pop(value.name or "", None)
