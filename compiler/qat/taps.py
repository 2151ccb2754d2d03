"""What modules answered, in a graph that has no modules any more: for a loss that compares inner layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.compiler.qat.mapping import AGREEMENT
from edgewright.compiler.recovery.features import TAP, captured

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node


def answers_of_modules(graph: GraphModule, module: torch.nn.Module, sample: Sequence[torch.Tensor]) -> dict[str, str]:
    """Path of a submodule -> name of the node that has its answer, in the order of running.

    Only where both have the same values on ``sample``: not where channels were evened out in between, nor where a
    module runs several times.

    Args:
        graph: before it is prepared, in evaluation mode.
        module: what ``graph`` was made from, as it was.
        sample: inputs of both.
    """
    import torch

    last: dict[str, Node] = {}
    for node in graph.graph.nodes:
        for path in _paths(node):
            last[path] = node
    found: dict[Node, torch.Tensor] = {}

    class Recorder(torch.fx.Interpreter):
        def run_node(self, node: Node) -> object:
            result = super().run_node(node)
            if node in wanted and isinstance(result, torch.Tensor):
                found[node] = result
            return result

    paths = [path for path, _ in module.named_modules() if path in last]
    wanted = {last[path] for path in paths}
    with torch.no_grad(), captured(module, paths) as theirs:
        module(*sample)
        Recorder(graph).run(*sample)
    same = {path for path in paths if path in theirs and _equal(found.get(last[path]), theirs[path])}
    return {path: node.name for path, node in last.items() if path in same}


def tap(graph: GraphModule, answers: dict[str, str]) -> None:
    """Puts a module that passes its input on behind each of ``answers`` that ``graph`` still has, for hooks to find."""
    import torch

    nodes = {node.name: node for node in graph.graph.nodes}
    for path, name in answers.items():
        target = f"{path}.{TAP}"
        if name in nodes and graph.add_submodule(target, torch.nn.Identity()):
            with graph.graph.inserting_after(nodes[name]):
                graph.graph.call_module(target, (nodes[name],))
    graph.recompile()


def _paths(node: Node) -> list[str]:
    stack = node.meta.get("nn_module_stack") if node.op == "call_function" else None
    return [path for path, _ in stack.values() if path] if stack else []


def _equal(mine: torch.Tensor | None, theirs: torch.Tensor) -> bool:
    if mine is None or mine.shape != theirs.shape or not theirs.is_floating_point():
        return False
    return bool((mine - theirs).abs().max() <= AGREEMENT * theirs.abs().max().clamp(min=1e-30))
