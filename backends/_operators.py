"""Which operators a model uses and where, for backends that must say what they cannot take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from edgewright.backends._base import Unsupported
from edgewright.core.model import OnnxModel

_NUMPY_TYPES = frozenset(
    {
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
        *("float16", "float32", "float64", "complex64", "complex128", "bool", "string"),
        "unknown",  # the engine will say
    }
)

OperatorId: TypeAlias = tuple[str, str]
"""Domain (empty for the standard's) and name."""


def operators_used(model: OnnxModel) -> dict[OperatorId, list[str]]:
    """Every operator with the names of its nodes in order; subgraphs and functions are looked into.

    A function that the model itself defines is not an operator: its body is.
    """
    import onnx_ir as ir

    found: dict[OperatorId, list[str]] = {}
    for graph in (model.ir.graph, *(function.graph for function in model.ir.functions.values())):
        for node in ir.traversal.RecursiveGraphIterator(graph):
            if node.op_identifier() not in model.ir.functions:
                domain = "" if node.domain == "ai.onnx" else node.domain
                found.setdefault((domain, node.op_type), []).append(node.name or "")
    return found


def unfeedable(model: OnnxModel, exotic: Iterable[str]) -> list[Unsupported]:
    """Inputs and outputs of a type that cannot be passed to the engine: neither numpy's own nor one of ``exotic``."""
    passable = {*_NUMPY_TYPES, *exotic}
    return [
        Unsupported(f"element type {spec.dtype}", spec.name, f"{role}s of this type cannot be passed to the engine")
        for role, specs in (("input", model.inputs), ("output", model.outputs))
        for spec in specs
        if spec.dtype not in passable
    ]


def located(rows: Iterable[object], used: Mapping[OperatorId, list[str]]) -> list[Unsupported]:
    """Rows of ``[operator, node, reason]`` as an engine gave them; where it named no node, the model's first is."""
    found = []
    for row in rows:
        assert isinstance(row, list)
        op, node, reason = map(str, row)
        domain, _, name = op.partition(" (")[0].rpartition("::")
        nodes = used.get((domain, name), [])
        if not node and nodes:
            node = nodes[0]
            reason += f" ({len(nodes)} nodes)" if len(nodes) > 1 else ""
        found.append(Unsupported(op, node, reason))
    return found
