"""Writes the element type and shape of every tensor into the graph, as far as onnx's inference with data propagation
can tell.

Large weights are set aside while it runs, so no message nears protobuf's 2 GiB. What is already declared stays unless
inference contradicts it; graph inputs are never touched.
"""

from __future__ import annotations

import copy
from typing import ClassVar

import onnx
import onnx_ir as ir

from edgewright.compiler.graphs import all_graphs, dims
from edgewright.compiler.opset import light_proto
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel

MAX_SKELETON_BYTES = 1 << 30
"""A graph that is larger than this without its main weights (large tensors inside bodies) is not inferred."""


class InferShapes(Pass[OnnxModel, OnnxModel]):
    """Infers element types and shapes with onnx's shape inference."""

    name: ClassVar[str] = "infer-shapes"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.CLEAN
    order: ClassVar[int] = 20

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same graph with more types and shapes known."""
        del site
        work = Rewriting(model)
        with light_proto(work.model) as (proto, _):
            if proto.ByteSize() > MAX_SKELETON_BYTES:
                work.skipped("graph", f"{proto.ByteSize()} bytes without its main weights is too much to infer")
                return work.outcome()
            try:
                inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=False, data_prop=True)
            except Exception as cause:  # noqa: BLE001 - the C++ inference raises kinds of its own
                work.skipped("graph", f"onnx's shape inference failed: {str(cause).strip()[:200]}")
                return work.outcome()
        _merge(work, ir.from_proto(inferred))
        return work.outcome()


def _merge(work: Rewriting, inferred: ir.Model) -> None:
    improved = 0
    for own, other in zip(all_graphs(work.model), all_graphs(inferred), strict=True):
        found = ir.convenience.create_value_mapping(other, include_subgraphs=False)
        for value in (output for node in own for output in node.outputs):
            known = found.get(value.name or "")
            if known is not None and _improve(work, value, known):
                improved += 1
    if improved:
        work.did("graph", f"inferred the type or shape of {improved} tensors", improved)


def _improve(work: Rewriting, value: ir.Value, known: ir.Value) -> bool:
    changed = False
    if known.type is not None and value.type != known.type:
        if value.type is not None:
            work.tally.add("warning", value.name, f"declared as {value.type}, but its operator makes {known.type}")
        value.type, changed = copy.copy(known.type), True
    old, new = dims(value), dims(known)
    if new is None or new == old:
        return changed
    if old is None:
        value.shape = known.shape
        return True
    if len(old) != len(new) or any(
        isinstance(one, int) and isinstance(two, int) and one != two for one, two in zip(old, new, strict=True)
    ):
        work.tally.add("warning", value.name, f"declared with shape {old}, but its operator makes {new}")
        value.shape = known.shape
        return True
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
