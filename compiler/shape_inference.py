"""Element types and shapes by onnx's inference with data propagation, with the weights set aside."""

from __future__ import annotations

import copy

import onnx_ir as ir

from edgewright.compiler import bounded_inference
from edgewright.compiler.graphs import all_graphs, dims
from edgewright.compiler.opset import light_proto
from edgewright.compiler.rewriting import Rewriting

MAX_SKELETON_BYTES = 1 << 30
"""A graph that is larger than this without its main weights (large tensors inside bodies) is not inferred."""
_MADE_UP = "unk__"
"""How onnx's inference names sizes that it has no name for."""


def infer_shapes(work: Rewriting) -> int:
    """Writes what inference can tell into ``work``; returns how many tensors are known better than before."""
    with light_proto(work.model) as (proto, _):
        if proto.ByteSize() > MAX_SKELETON_BYTES:
            work.skipped("graph", f"{proto.ByteSize()} bytes without its main weights is too much to infer")
            return 0
        try:
            inferred = bounded_inference.infer_shapes(proto)
        except Exception as cause:  # noqa: BLE001 - the C++ inference raises kinds of its own
            work.skipped("graph", f"onnx's shape inference failed: {str(cause).strip()[:200]}")
            return 0
    return _merge(work, ir.from_proto(inferred))


def refresh_shapes(work: Rewriting) -> None:
    """Infers again after a fusion that knows more: sizes that inference made names up for are forgotten."""
    for graph in [work.model.graph, *work.model.graph.subgraphs()]:
        for value in (output for node in graph for output in node.outputs):
            sizes = dims(value)
            if sizes is None or value.is_graph_output():
                continue
            if any(isinstance(size, str) and size.startswith(_MADE_UP) for size in sizes):
                kept = [None if isinstance(size, str) and size.startswith(_MADE_UP) else size for size in sizes]
                value.shape = ir.Shape(kept)
    infer_shapes(work)


def _merge(work: Rewriting, inferred: ir.Model) -> int:
    improved = 0
    for own, other in zip(all_graphs(work.model), all_graphs(inferred), strict=True):
        found = ir.convenience.create_value_mapping(other, include_subgraphs=False)
        for value in (output for node in own for output in node.outputs):
            known = found.get(value.name or "")
            if known is not None and _improve(value, known):
                improved += 1
    return improved


def _improve(value: ir.Value, known: ir.Value) -> bool:
    changed = False
    if known.type is not None and value.type is None:
        value.type, changed = copy.copy(known.type), True
    old, new = dims(value), dims(known)
    if new is None or new == old:
        return changed
    if old is None:
        value.shape = known.shape
        return True
    if len(old) != len(new):
        return changed
    merged = [_better(one, two) for one, two in zip(old, new, strict=True)]
    if merged == old:
        return changed
    value.shape = ir.Shape(merged)
    return True


def _better(old: int | str | None, new: int | str | None) -> int | str | None:
    """A number beats a symbol, a declared symbol beats a made-up one, anything beats nothing."""
    if isinstance(old, int) or (isinstance(old, str) and not isinstance(new, int)):
        return old
    return new if new is not None else old
