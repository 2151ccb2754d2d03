"""Into the body of an If: where a piece is nothing but one, the branch that it takes is a model of its own."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from edgewright.compiler.blame.extraction import Piece, keep_only, working_nodes
from edgewright.compiler.graphs import constant, is_standard, working_copy
from edgewright.core.tensors import Array


def taken_branch(piece: Piece) -> Piece | None:
    """What the only node, an If, does with its feeds; None where it is something else, or returns what it read."""
    places = working_nodes(piece.model)
    whole = working_copy(piece.model)
    graph = whole.graph
    node = graph[places[0]] if len(places) == 1 else None
    condition = None if node is None else _condition(node, piece)
    if node is None or condition is None or not is_standard(node, "If"):
        return None
    body = node.attributes["then_branch" if bool(condition.reshape(-1)[0]) else "else_branch"].as_graph()
    inner = dict(zip(node.outputs, body.outputs, strict=True))
    made = {value for one in body for value in one.outputs}
    returned = [inner[value] for value in graph.outputs if value in inner]
    if not returned or not made.issuperset(returned) or len(set(returned)) < len(returned):
        return None
    graph.outputs.clear()
    body.outputs.clear()
    for name, value in list(body.initializers.items()):
        body.initializers.pop(name)
        graph.initializers[name] = value
    moved = list(body)
    body.remove(moved)
    graph.extend(moved)
    graph.outputs.extend(returned)
    others = [one for one in graph if one is not node]
    keep_only(graph, others)
    read = {value for one in graph.all_nodes() for value in one.inputs}
    for value in [value for value in graph.inputs if value not in read]:
        graph.inputs.remove(value)
    present = {value.name for value in graph.inputs}
    feeds = {name: array for name, array in piece.feeds.items() if name in present}
    return Piece(replace(piece.model, ir=whole, sizes={}), feeds)


def _condition(node: ir.Node, piece: Piece) -> Array | None:
    value = node.inputs[0] if node.inputs else None
    found = constant(value, largest=1)
    return found if found is not None or value is None else piece.feeds.get(value.name or "")
