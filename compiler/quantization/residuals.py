"""Residual Adds that a runtime computes inside the kernel of the operator before them.

Of such an Add only the branch that comes from elsewhere gets codes, whatever made it: a pair between the convolution
(or matrix product) and the Add would part the two, and a float branch would keep the kernel from giving codes. Where
both branches come from one, the later in the graph keeps its result and the earlier, a shortcut's, is quantised. A
constant that is added behind an anchor is its bias and stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from edgewright.compiler.graphs import is_standard, sole_consumer
from edgewright.compiler.quantization.operators import Role
from edgewright.compiler.quantization.quantized_op import QuantizedOp, following_clamp, is_constant


@dataclass(frozen=True, eq=False)
class Residuals:
    """The operators of a graph once its residual Adds are seen as such."""

    ops: dict[ir.Node, QuantizedOp]
    joined: frozenset[ir.Value]
    """What an anchor hands to the Add behind it: no pair may stand there."""
    sums: frozenset[ir.Value]
    """An anchor's result with its bias added, behind the clamp if there is one: as good as the anchor's own output."""


def join_residuals(graph: ir.Graph, found: Mapping[ir.Node, QuantizedOp]) -> Residuals:
    """Takes the Adds of constants out of ``found``, and out of each residual Add the branch that stays as it is."""
    order = {node: index for index, node in enumerate(graph)}
    ops: dict[ir.Node, QuantizedOp] = {}
    joined: set[ir.Value] = set()
    sums: set[ir.Value] = set()
    for node, op in found.items():
        if node.op_type != "Add":
            ops[node] = op
            continue
        if any(is_constant(value) for value in node.inputs if value is not None):
            if _anchor(node.outputs[0], found) is not None:
                clamp = following_clamp(node.outputs[0])
                sums.update([node.outputs[0]] if clamp is None else [clamp.outputs[0]])
            continue
        kept = _kept_branch(node, found, order)
        ops[node] = op if kept is None else replace(op, activations=(1 - kept,))
        if kept is not None and (branch := node.inputs[kept]) is not None:
            joined.add(branch)
    return Residuals(ops, frozenset(joined), frozenset(sums))


def _kept_branch(add: ir.Node, found: Mapping[ir.Node, QuantizedOp], order: Mapping[ir.Node, int]) -> int | None:
    """The input of ``add`` that an anchor makes for it alone, of two the one whose anchor is the last in the graph."""
    places = {}
    for index, value in enumerate(add.inputs):
        if value is not None and sole_consumer(value) is add and len(value.uses()) == 1:
            anchor = _anchor(value, found)
            if anchor is not None:
                places[index] = order[anchor]
    return max(places, key=lambda index: places[index]) if places else None


def _anchor(value: ir.Value, found: Mapping[ir.Node, QuantizedOp]) -> ir.Node | None:
    """The quantised anchor whose result ``value`` is, perhaps with a bias added to it; None when there is none."""
    node = value.producer()
    while node is not None and is_standard(node, "Add"):
        others = [item for item in node.inputs if item is not None and not is_constant(item)]
        if len(others) != 1 or len(node.inputs) != 2 or len(others[0].uses()) != 1 or others[0].is_graph_output():
            return None
        node = others[0].producer()
    return node if node is not None and node in found and found[node].operator.role is Role.ANCHOR else None
