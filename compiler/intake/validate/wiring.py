"""Wiring: every tensor is made once, before it is used, by somebody; nothing depends on itself."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import onnx

from edgewright.compiler.intake.validate.report import listed, node_text, quoted, refuse
from edgewright.compiler.intake.validate.scopes import FunctionId, Scope, function_id, functions_of, subgraphs

_GIVEN = -1
"""The producer of what comes into a scope: its inputs and initializers."""
MAX_NODES_INLINED = 2_000_000
_CYCLE_SHOWN = 6


def check_wiring(all_scopes: Sequence[Scope], source: str) -> bool:
    """Checks the tensors of all scopes.

    Args:
        all_scopes: parents before their children.
        source: what messages call the model.

    Returns:
        Whether the nodes stand in an order in which they can be executed; they can be brought into one if not.

    Raises:
        BadInputError: an undefined input, a tensor made twice, an output nobody makes, or a cycle, by name.
    """
    producers = {scope: _producers(scope, source) for scope in all_scopes}
    depends_on: dict[Scope, list[set[int]]] = {scope: [set() for _ in scope.graph.node] for scope in all_scopes}
    for scope in all_scopes:
        for index, node in enumerate(scope.graph.node):
            for name in filter(None, node.input):
                link = _link(scope, index, name, producers)
                if link is None:
                    refuse(source, f"{node_text(node)} takes {quoted(name)}, which nothing makes: undefined input")
                at, waiting, maker = link
                if maker != _GIVEN:
                    depends_on[at][waiting].add(maker)
        _check_outputs(scope, producers[scope], source)
    in_order = True
    for scope, edges in depends_on.items():
        if any(before >= index for index, sources in enumerate(edges) for before in sources):
            in_order = False
            _check_acyclic(scope, edges, source)
    return in_order


def check_functions(model: onnx.ModelProto, source: str) -> None:
    """Checks that the model's own functions are defined once, do not call themselves, and do not multiply.

    Raises:
        BadInputError: naming the function.
    """
    bodies = functions_of(model)
    if len(bodies) != len(model.functions):
        counts = Counter(f"{body.domain}::{body.name}" for body in model.functions)
        refuse(source, f"function {quoted(counts.most_common(1)[0][0])} is defined twice")
    calls = {key: _calls(body.node, bodies) for key, body in bodies.items()}
    own = {key: _count_nodes(body.node) for key, body in bodies.items()}
    sizes = _inlined_sizes(calls, own, source)
    main = _calls(model.graph.node, bodies)
    total = sum(sizes[key] * count for key, count in main.items())
    if total > MAX_NODES_INLINED:
        refuse(source, f"its functions, written out, are {total} nodes, more than {MAX_NODES_INLINED}")


def _producers(scope: Scope, source: str) -> dict[str, int]:
    """Tensor name -> index of the node that makes it, or ``_GIVEN``."""
    where = "" if scope.is_main else " of an inner graph"
    found: dict[str, int] = {}
    for name in scope.inputs:
        if not name or name in found:
            refuse(source, f"input {quoted(name)}{where} is there twice" if name else f"an input{where} has no name")
        found[name] = _GIVEN
    seen: set[str] = set()
    for tensor in scope.initializers:
        if not tensor.name or tensor.name in seen:
            refuse(
                source, f"initializer {quoted(tensor.name)}{where} {'is there twice' if tensor.name else 'has no name'}"
            )
        seen.add(tensor.name)
        found[tensor.name] = _GIVEN  # up to IR 3 an initializer is also an input, later its default
    for index, node in enumerate(scope.graph.node):
        for name in filter(None, node.output):
            if name in found:
                first = "an input or initializer" if found[name] == _GIVEN else node_text(scope.graph.node[found[name]])
                refuse(source, f"tensor {quoted(name)} is made twice: by {first} and by {node_text(node)}")
            found[name] = index
    return found


_Link: TypeAlias = tuple[Scope, int, int]
"""A scope, the node there that waits, the node there that makes what it waits for."""


def _link(scope: Scope, index: int, name: str, made_by: dict[Scope, dict[str, int]]) -> _Link | None:
    """Finds who makes ``name``, outwards from ``scope``."""
    at: Scope | None = scope
    while at is not None:
        maker = made_by[at].get(name)
        if maker is not None:
            return at, index, maker
        index, at = at.owner, at.parent
    return None


def _check_outputs(scope: Scope, producers: dict[str, int], source: str) -> None:
    where = "" if scope.parent is None else f" of a graph in {node_text(scope.parent.graph.node[scope.owner])}"
    outputs = scope.outputs
    if twice := [name for name, count in Counter(outputs).items() if count > 1 and scope.is_main]:
        refuse(source, f"output {listed(twice)} is there twice")
    if not outputs and scope.is_main:
        refuse(source, "its graph has no outputs", "Export the model again with its outputs.")
    for name in outputs:
        if name not in producers:
            refuse(source, f"output {quoted(name)}{where} is made by no node of that graph")


def _check_acyclic(scope: Scope, edges: list[set[int]], source: str) -> None:
    waits = [len(sources) for sources in edges]
    feeds: list[list[int]] = [[] for _ in edges]
    for index, sources in enumerate(edges):
        for before in sources:
            feeds[before].append(index)
    ready = deque(index for index, count in enumerate(waits) if count == 0)
    done = 0
    while ready:
        done += 1
        for index in feeds[ready.popleft()]:
            waits[index] -= 1
            if waits[index] == 0:
                ready.append(index)
    if done < len(edges):
        stuck = {index for index, count in enumerate(waits) if count > 0}
        circle = _circle(next(iter(stuck)), edges, stuck)
        names = [quoted(next(filter(None, scope.graph.node[index].output), "")) for index in circle[:_CYCLE_SHOWN]]
        refuse(source, f"the graph has a cycle of {len(circle)} nodes, through {', '.join(names)}")


def _circle(start: int, edges: list[set[int]], stuck: set[int]) -> list[int]:
    """A cycle among the nodes that never became ready: going backwards from any of them must come round."""
    path: list[int] = []
    seen: dict[int, int] = {}
    at = start
    while at not in seen:
        seen[at] = len(path)
        path.append(at)
        at = next(before for before in sorted(edges[at]) if before in stuck)
    return path[seen[at] :]


def _calls(nodes: Iterable[onnx.NodeProto], bodies: dict[FunctionId, onnx.FunctionProto]) -> Counter[FunctionId]:
    found: Counter[FunctionId] = Counter()
    todo = [nodes]
    while todo:
        for node in todo.pop():
            key = function_id(node)
            if key in bodies:
                found[key] += 1
            todo.extend(graph.node for graph in subgraphs(node))
    return found


def _count_nodes(nodes: Iterable[onnx.NodeProto]) -> int:
    count, todo = 0, [nodes]
    while todo:
        for node in todo.pop():
            count += 1
            todo.extend(graph.node for graph in subgraphs(node))
    return count


def _inlined_sizes(
    calls: dict[FunctionId, Counter[FunctionId]], own: dict[FunctionId, int], source: str
) -> dict[FunctionId, int]:
    """Nodes of each function with everything it calls written out; a few functions can mean 2^30 nodes."""
    waits = {key: len(called) for key, called in calls.items()}
    callers: dict[FunctionId, list[FunctionId]] = {key: [] for key in calls}
    for key, called in calls.items():
        for other in called:
            callers[other].append(key)
    ready = deque(key for key, count in waits.items() if count == 0)
    sizes: dict[FunctionId, int] = {}
    while ready:
        key = ready.popleft()
        sizes[key] = own[key] + sum(sizes[other] * count for other, count in calls[key].items())
        for caller in callers[key]:
            waits[caller] -= 1
            if waits[caller] == 0:
                ready.append(caller)
    if len(sizes) < len(calls):
        stuck = sorted(f"{domain}::{name}" for (domain, name, _), count in waits.items() if count > 0)
        refuse(source, f"function {listed(stuck)} calls itself", "ONNX functions cannot be recursive.")
    return sizes
