"""Dynamic int8: weights as codes, each activation's range found by the runtime when it comes by.

``y = x W + b`` becomes ``xc, s, z = DynamicQuantizeLinear(x)``, ``y = float(MatMulInteger(xc, Wc, z)) * (s * sW) + b``:
the form that runtimes recognise and fuse into one kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import int_attribute
from edgewright.compiler.quantization.insertion import weight_bits
from edgewright.compiler.quantization.operators import OPERATORS
from edgewright.compiler.quantization.placement import is_constant, refusal
from edgewright.compiler.quantization.prepare import numbers
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
    for node in graph:
        if node.domain not in ("", "ai.onnx") or node.op_type not in scheme.op_kinds:
            continue
        reason = refusal(node, keep_float, keep_kinds)
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
        self._quantized: dict[ir.Value, tuple[ir.Value, ir.Value, ir.Value]] = {}
        self._taken = {value.name for value in graph.inputs} | set(graph.initializers)
        self._taken |= {output.name for node in graph.all_nodes() for output in node.outputs}

    def write(self, node: ir.Node) -> None:
        """Puts the dynamic integer form in the place of ``node``."""
        source, result = node.inputs[0], node.outputs[0]
        assert source is not None
        weight = dynamic_weight(node, self._rule)
        base = result.name or node.name or node.op_type
        codes, scale, zero = self._codes(source)
        stored = self._constant(f"{base}_weight_codes", weight.codes)
        zeros = self._constant(f"{base}_weight_zero_point", weight.grid.zero_point_array())
        operands = [codes, stored, zero, zeros]
        convolution = node.op_type == "Conv"
        attributes = list(node.attributes.values()) if convolution else []
        kind = "ConvInteger" if convolution else "MatMulInteger"
        product = self._node(node, kind, operands, f"{base}_integer", attributes)
        real = self._node(node, "Cast", [product], f"{base}_cast", [ir.AttrInt64("to", ir.DataType.FLOAT)])
        factor = weight.grid.scale.reshape(-1, *[1] * (weight.codes.ndim - 2)) if convolution else weight.grid.scale
        both = self._node(node, "Mul", [scale, self._constant(f"{base}_weight_scale", factor)], f"{base}_scales")
        last = self._node(node, "Mul", [real, both], f"{base}_scaled")
        if node.op_type != "MatMul" and len(node.inputs) > 2 and node.inputs[2] is not None:
            last = self._node(node, "Add", [last, self._bias(node, base, weight.codes.ndim)], f"{base}_biased")
        self._take_place(node, last)

    def _codes(self, value: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
        """The codes, scale and zero point of an activation; computed once, however many read it."""
        if value not in self._quantized:
            base = value.name or "input"
            names = [self._free(f"{base}_{part}") for part in ("codes", "scale", "zero_point")]
            node = ir.node("DynamicQuantizeLinear", [value], num_outputs=3, name=self._free(f"{base}_quantize"))
            for output, name in zip(node.outputs, names, strict=True):
                output.name = name
            producer = value.producer()
            if producer is None:
                self._graph.insert_before(self._graph[0], node)
            else:
                self._graph.insert_after(producer, node)
            self._quantized[value] = (node.outputs[0], node.outputs[1], node.outputs[2])
        return self._quantized[value]

    def _bias(self, node: ir.Node, base: str, weight_rank: int) -> ir.Value:
        bias = node.inputs[2]
        assert bias is not None
        if node.op_type != "Conv":
            return bias
        shaped = numbers(bias).reshape(-1, *[1] * (weight_rank - 2))
        return self._constant(f"{base}_bias", shaped)

    def _take_place(self, node: ir.Node, last: ir.Value) -> None:
        result = node.outputs[0]
        name, result.name = result.name, self._free(f"{result.name}_float")
        last.name, last.type, last.shape = name, result.type, result.shape
        if result.is_graph_output():
            self._graph.outputs[:] = [last if item is result else item for item in self._graph.outputs]
        for reader, index in list(result.uses()):
            reader.replace_input_with(index, last)
        inputs = [value for value in node.inputs[1:] if value is not None]
        self._graph.remove(node, safe=True)
        for value in inputs:
            if is_constant(value) and not value.uses() and not value.is_graph_output():
                self._graph.initializers.pop(value.name or "", None)

    def _node(
        self,
        before: ir.Node,
        kind: str,
        inputs: list[ir.Value],
        name: str,
        attributes: list[ir.Attr] | None = None,
    ) -> ir.Value:
        node = ir.Node("", kind, inputs, attributes or [], name=self._free(name))
        node.outputs[0].name = self._free(name)
        self._graph.insert_before(before, node)
        return node.outputs[0]

    def _constant(self, name: str, array: npt.NDArray[np.generic]) -> ir.Value:
        free = self._free(name)
        value = ir.Value(name=free, const_value=ir.tensor(array, name=free))
        self._graph.register_initializer(value)
        return value

    def _free(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name
