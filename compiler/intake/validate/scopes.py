"""Walks all graphs of a model without recursion: the main graph, the graphs in attributes, and function bodies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import onnx

FunctionId: TypeAlias = tuple[str, str, str]
"""Domain, name, overload."""
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})


@dataclass(frozen=True, eq=False)
class Scope:
    """One graph or function body, and where it stands."""

    graph: onnx.GraphProto | onnx.FunctionProto
    parent: Scope | None
    owner: int
    """Index in ``parent``'s nodes of the node whose attribute this graph is; -1 without a parent."""
    opsets: dict[str, int]
    """Domain -> version; ``""`` stands for ``ai.onnx`` too."""

    @property
    def inputs(self) -> Sequence[str]:
        """Names of what comes in."""
        if isinstance(self.graph, onnx.FunctionProto):
            return list(self.graph.input)
        return [value.name for value in self.graph.input]

    @property
    def outputs(self) -> Sequence[str]:
        """Names of what goes out."""
        if isinstance(self.graph, onnx.FunctionProto):
            return list(self.graph.output)
        return [value.name for value in self.graph.output]

    @property
    def initializers(self) -> Sequence[onnx.TensorProto]:
        """Dense initializers; a function has none."""
        return [] if isinstance(self.graph, onnx.FunctionProto) else list(self.graph.initializer)

    @property
    def is_main(self) -> bool:
        """True for the model's own graph."""
        return self.parent is None and isinstance(self.graph, onnx.GraphProto)


def opsets_of(imports: Sequence[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """Domain -> version, with ``ai.onnx`` under its other name ``""``."""
    return {"" if item.domain in STANDARD_DOMAINS else item.domain: item.version for item in imports}


def scopes(model: onnx.ModelProto) -> list[Scope]:
    """All scopes; a parent comes before its children."""
    opsets = opsets_of(model.opset_import)
    found = [Scope(model.graph, None, -1, opsets)]
    found += [Scope(body, None, -1, opsets_of(body.opset_import)) for body in model.functions]
    for scope in found:  # grows while it is walked
        for index, node in enumerate(scope.graph.node):
            found.extend(Scope(graph, scope, index, scope.opsets) for graph in subgraphs(node))
    return found


def subgraphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def function_id(node: onnx.NodeProto) -> FunctionId:
    """The key under which a node's operator would be a function of the model's own."""
    return ("" if node.domain in STANDARD_DOMAINS else node.domain, node.op_type, node.overload)


def functions_of(model: onnx.ModelProto) -> dict[FunctionId, onnx.FunctionProto]:
    """The model's own functions by key."""
    return {
        ("" if body.domain in STANDARD_DOMAINS else body.domain, body.name, body.overload): body
        for body in model.functions
    }
