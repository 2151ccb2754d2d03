"""One operator that is to run on codes: which of its inputs are what, and the clamp that belongs to it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgewright.compiler.quantization.operators import CLAMPS, OPERATORS, Operator, Role


@dataclass(frozen=True, eq=False)
class QuantizedOp:
    """One operator that is to run on codes."""

    node: ir.Node
    activations: tuple[int, ...]
    """Indices of the inputs to be given codes; constants among them are quantised as they are."""
    weight: int | None
    bias: int | None
    clamp: ir.Node | None
    """The Relu or Clip that belongs to it."""
    output: ir.Value
    """What it makes, behind the clamp."""

    @property
    def operator(self) -> Operator:
        """Its kind's properties."""
        return OPERATORS[self.node.op_type]

    @property
    def read(self) -> list[ir.Value]:
        """The activations it reads, without constants."""
        values = [self.node.inputs[index] for index in self.activations]
        return [value for value in values if value is not None and not is_constant(value)]


def quantized_op(node: ir.Node) -> QuantizedOp:
    """``node``, of a kind that :data:`OPERATORS` knows, with what belongs to it."""
    operator = OPERATORS[node.op_type]
    bias = operator.bias if operator.bias is not None and len(node.inputs) > operator.bias else None
    if bias is not None and node.inputs[bias] is None:
        bias = None
    clamp = None if operator.role is Role.MOVER else following_clamp(node.outputs[0])
    output = node.outputs[0] if clamp is None else clamp.outputs[0]
    return QuantizedOp(node, activations_of(node, operator), operator.weight, bias, clamp, output)


def following_clamp(value: ir.Value) -> ir.Node | None:
    """The Relu or Clip with constant bounds that alone reads ``value``."""
    uses = list(value.uses())
    if len(uses) != 1 or value.is_graph_output():
        return None
    node, index = uses[0]
    if node.op_type not in CLAMPS or node.domain not in ("", "ai.onnx") or index != 0:
        return None
    if node.graph is not value.graph:
        return None
    return node if all(bound is None or is_constant(bound) for bound in node.inputs[1:]) else None


def activations_of(node: ir.Node, operator: Operator) -> tuple[int, ...]:
    """Indices of the inputs of ``node`` that carry activations."""
    return tuple(range(len(node.inputs))) if operator.every_input else operator.activations


def is_constant(value: ir.Value) -> bool:
    """True for an initializer, which no caller can feed."""
    return value.const_value is not None and value.producer() is None and not value.is_graph_input()
