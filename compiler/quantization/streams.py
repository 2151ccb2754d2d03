"""Tensors whose channels can only be divided together: those that a residual Add or a gate joins.

Channels lie along axis 1. A factor comes from the rows of the convolutions and Gemms that feed a stream and is given
back in the columns of those that read it. Relu, pooling and means over height and width let a positive factor through,
an Add asks the same one of both its branches, and a Mul by a gate, the result of a sigmoid, leaves the gate alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import onnx_ir as ir

from edgewright.compiler.graphs import input_at, int_attribute, integers, ints_attribute, is_standard, rank
from edgewright.compiler.quantization.placement import Placement
from edgewright.compiler.quantization.quantized_op import QuantizedOp, is_constant

COMMUTES = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool")
_GATES = ("Sigmoid", "HardSigmoid")


@dataclass(frozen=True, eq=False)
class Stream:
    """Tensors that take one factor per channel, who makes them, and who reads them."""

    tensors: tuple[ir.Value, ...]
    """Those of them that become codes."""
    producers: tuple[ir.Node, ...]
    readers: tuple[QuantizedOp, ...]


def find_streams(placement: Placement, alone: frozenset[ir.Value], per_channel: frozenset[str]) -> list[Stream]:
    """The streams through the tensors of ``placement`` that all sides can give a factor to and take it from.

    Args:
        placement: tells which tensors become codes.
        alone: tensors that are divided by themselves already.
        per_channel: operator kinds whose weights have a scale per output channel.
    """
    by_node = {op.node: op for op in placement.ops}
    seen: set[ir.Value] = set()
    found = []
    for value in placement.grids:
        if value in seen or value in alone:
            continue
        search = _Search(by_node, per_channel)
        search.walk(value)
        seen.update(search.members)
        if search.holds and search.producers and search.readers and not alone & search.members.keys():
            tensors = tuple(member for member in search.members if member in placement.grids)
            found.append(Stream(tensors, tuple(search.producers), tuple(search.readers.values())))
    return found


@dataclass(eq=False)
class _Search:
    """One walk over all that a tensor's channels are tied to; goes on where it fails, so that nothing is seen twice."""

    by_node: Mapping[ir.Node, QuantizedOp]
    per_channel: frozenset[str]
    members: dict[ir.Value, None] = field(default_factory=dict)
    producers: dict[ir.Node, None] = field(default_factory=dict)
    readers: dict[ir.Node, QuantizedOp] = field(default_factory=dict)
    holds: bool = True

    def walk(self, start: ir.Value) -> None:
        channels = _channels(start)
        pending = [start]
        while pending:
            value = pending.pop()
            if value in self.members:
                continue
            self.members[value] = None
            self.holds &= channels is not None and _channels(value) == channels and not value.is_graph_output()
            pending.extend(self._sources(value))
            for node, index in value.uses():
                pending.extend(self._results(value, node, index))

    def _sources(self, value: ir.Value) -> Iterator[ir.Value]:
        node = value.producer()
        if node is not None and node.op_type in self.per_channel and _can_divide(node):
            self.producers[node] = None
            return
        tied = [] if node is None else _tied(node)
        self.holds &= bool(tied)
        yield from tied

    def _results(self, value: ir.Value, node: ir.Node, index: int) -> Iterator[ir.Value]:
        if node in self.by_node and index == 0 and _can_multiply(self.by_node[node]):
            self.readers[node] = self.by_node[node]
        elif value in _tied(node):
            yield node.outputs[0]
        else:
            self.holds = False


def _channels(value: ir.Value) -> int | None:
    size = value.shape[1] if value.shape is not None and len(value.shape) > 1 else None
    return size if isinstance(size, int) else None


def _tied(node: ir.Node) -> list[ir.Value]:
    """The inputs of ``node`` whose channels its result has, times the same factors."""
    inputs = [value for value in node.inputs if value is not None]
    if is_standard(node, *COMMUTES) or (is_standard(node, "ReduceMean", "Flatten") and _keeps_channels(node)):
        return inputs[:1]
    if is_standard(node, "Add") and len({rank(value) for value in inputs}) == 1:
        return [] if any(is_constant(value) for value in inputs) else inputs
    if is_standard(node, "Mul"):
        gates = [value for value in inputs if is_standard(value.producer(), *_GATES)]
        others = [value for value in inputs if value not in gates and not is_constant(value)]
        return others if len(gates) == 1 and len(others) == 1 else []
    return []


def _keeps_channels(node: ir.Node) -> bool:
    source, result = node.inputs[0], node.outputs[0]
    if source is None or source.shape is None:
        return False
    if node.op_type == "Flatten":  # of one position
        return int_attribute(node, "axis", 1) == 1 and list(source.shape)[2:] == [1] * (len(source.shape) - 2)
    axes = integers(node.inputs[1]) if len(node.inputs) > 1 else ints_attribute(node, "axes")
    deep = len(source.shape) == 4 and axes is not None and sorted(axis % 4 for axis in axes) == [2, 3]
    return deep and _channels(source) == _channels(result)


def _can_divide(node: ir.Node) -> bool:
    """Whether ``node`` is a product whose rows, and whose bias, are its own to be divided."""
    if not is_standard(node, "Conv", "Gemm"):
        return False
    constants = [value for value in node.inputs[1:] if value is not None]
    bias = input_at(node, 2)
    own = all(is_constant(one) and len(one.uses()) == 1 and one.dtype == ir.DataType.FLOAT for one in constants)
    return own and bool(constants) and (bias is None or rank(bias) == 1)


def _can_multiply(op: QuantizedOp) -> bool:
    """Whether the columns of an operator's weight are its own to be multiplied, one for each channel it reads."""
    weight = None if op.weight is None else input_at(op.node, op.weight)
    if weight is None or not is_constant(weight) or len(weight.uses()) != 1:
        return False
    if op.node.op_type == "Conv":
        return True
    rows = rank(op.node.inputs[0]) == 2 and rank(weight) == 2
    return rows and (
        op.node.op_type == "MatMul" or (op.node.op_type == "Gemm" and not int_attribute(op.node, "transA", 0))
    )
