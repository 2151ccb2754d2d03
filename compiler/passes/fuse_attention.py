"""Gathers multi-head attention that exporters spell out.

``softmax(scale * Q K^T + mask) V`` where Q, K and V are ``(B, S, heads * size)`` tensors reshaped to ``(B, S, heads,
size)`` and transposed, and the result is transposed and reshaped back (Vaswani et al. 2017, arXiv:1706.03762).

Written as the standard ``Attention`` of opset 23 when the model has that opset; below it as
``com.microsoft::MultiHeadAttention`` when the target declares it; else the opset is raised, if the target takes it.
Runtimes want a mask with a row for each query, so one with a single row is expanded.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewright.compiler.attention import Attention, attention_of
from edgewright.compiler.graphs import MICROSOFT, dims, rank, uses_any
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.shape_inference import refresh_shapes
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

_OPSET = 23
_STANDARD = "::Attention"
_CONTRIBUTED = f"{MICROSOFT}::MultiHeadAttention"


class FuseAttention(Pass[OnnxModel, OnnxModel]):
    """Fuses decomposed multi-head attention."""

    name: ClassVar[str] = "fuse-attention"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 50
    tolerance: ClassVar[float] = 1e-3
    """Fused kernels sum the softmax in blocks."""

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """For a target that executes one of the fused forms."""
        del precision
        return None if target.fused_ops & {_STANDARD, _CONTRIBUTED} else f"{target.name} declares no fused attention"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with attention nodes."""
        if not uses_any(model, "Softmax"):
            return Outcome(model, 0)
        work = Rewriting(model)
        takes = site.target.fused_ops
        found = _matches(work, note=True)
        if not found:
            return work.outcome()
        if not _direct(work, takes):
            problem = "the target declares no fused attention"
            if _STANDARD in takes:
                problem = work.reach_opset(_OPSET, site.target.opset[1])
            if problem:
                for match in found:
                    work.skipped(match.output.name, f"attention was not fused: {problem}")
                return work.outcome()
        for match in _matches(work, note=False):
            _write(work, match, _direct(work, takes))
        if work.changed:
            refresh_shapes(work)  # the result now has the query's own sizes, not those a Reshape made up
        return work.outcome()


def _direct(work: Rewriting, takes: frozenset[str]) -> str:
    """What to write without raising the opset; nothing when there is none."""
    if work.opset >= _OPSET and _STANDARD in takes:
        return _STANDARD
    return _CONTRIBUTED if _CONTRIBUTED in takes else ""


def _matches(work: Rewriting, *, note: bool) -> list[Attention]:
    found = []
    for node in work.nodes("Softmax"):
        match = attention_of(node)
        if isinstance(match, Attention):
            found.append(match)
        elif match and note:
            work.skipped(node.name, f"attention was not fused: {match}")
    return found


def _write(work: Rewriting, match: Attention, operator: str) -> None:
    last = match.output.producer()
    assert last is not None
    inputs: list[ir.Value | None] = [match.query, match.key, match.value]
    attributes: dict[str, int | float] = {"scale": match.scale}
    if operator == _STANDARD:
        attributes |= {"q_num_heads": match.heads, "kv_num_heads": match.heads}
        if match.mask is not None:
            inputs.append(_full_mask(work, last, match))
        fused = work.insert(last, "Attention", inputs, attributes, like=match.output)
    else:
        attributes["num_heads"] = match.heads
        if match.mask is not None:
            inputs += [None, None, _full_mask(work, last, match)]
        fused = work.insert(last, "MultiHeadAttention", inputs, attributes, domain=MICROSOFT, like=match.output)
    sizes = dims(match.query)
    if sizes is not None and not match.output.is_graph_output():
        fused.shape = ir.Shape([*sizes[:2], match.width])
    work.redirect(match.output, fused)
    work.did("graph", f"fused attention into {operator.removeprefix('::')}")
    work.drop_unused()


def _full_mask(work: Rewriting, last: ir.Node, match: Attention) -> ir.Value:
    """The mask as ``(B or 1, heads or 1, S, T)``."""
    mask = match.mask
    assert mask is not None
    hint = f"{last.name or 'attention'}.mask"
    if (rank(mask) or 4) < 4:
        kept = np.array([1] * (4 - (rank(mask) or 4)) + [0] * (rank(mask) or 4))
        # Zeros copy sizes of the input at the same place, so the leading ones are made by Unsqueeze.
        axes = np.flatnonzero(kept)
        if work.opset >= 13:
            mask = work.insert(last, "Unsqueeze", [mask, work.constant(last, f"{hint}.axes", axes)], hint=hint)
        else:
            mask = work.insert(last, "Unsqueeze", [mask], {"axes": [int(axis) for axis in axes]}, hint=hint)
    rows = (dims(match.mask) or [None])[-2]
    if rows is not None and rows != 1 and rows == (dims(match.query) or [None, None])[1]:
        return mask
    shape = work.insert(last, "Shape", [match.query], hint=f"{hint}.shape")
    queries = work.insert(last, "Gather", [shape, work.constant(last, f"{hint}.one", np.array([1]))], hint=hint)
    one = work.constant(last, f"{hint}.ones", np.array([1]))
    target = work.insert(last, "Concat", [one, one, queries, one], {"axis": 0}, hint=hint)
    return work.insert(last, "Expand", [mask, target], hint=hint)
