"""Gathers root-mean-square normalisation that exporters spell out.

``y = x / sqrt(mean(x**2) + epsilon) * scale`` over the last axes (Zhang and Sennrich 2019, arXiv:1910.07467). Written
as RMSNormalization of opset 23.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgewright.compiler.graphs import dims, is_standard, uses_any
from edgewright.compiler.normalisations import affine_step, inverse_root_of_mean, is_square_of, without_leading_ones
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

_OPSET = 23
_OPERATOR = "RMSNormalization"


@dataclass(frozen=True)
class _Match:
    output: ir.Value
    source: ir.Value
    axis: int
    epsilon: float
    scale: ir.Value


class FuseRmsnorm(Pass[OnnxModel, OnnxModel]):
    """Fuses decomposed root-mean-square normalisation."""

    name: ClassVar[str] = "fuse-rmsnorm"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 40

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """For a target that executes RMSNormalization and takes its opset."""
        del precision
        if f"::{_OPERATOR}" not in target.fused_ops:
            return f"{target.name} declares no {_OPERATOR}"
        if target.opset[1] < _OPSET:
            return f"{_OPERATOR} needs opset {_OPSET}, {target.name} takes {target.opset[1]} at most"
        return None

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with RMSNormalization nodes."""
        if not uses_any(model, "ReduceMean") or not any(_core(node) for node in _dividing(model.ir)):
            return Outcome(model, 0)  # LayerNorm has means too, and a copy costs more than a look
        work = Rewriting(model)
        if f"::{_OPERATOR}" not in site.target.fused_ops:
            return work.outcome()
        found = _matches(work, note=True)
        if found and (problem := work.reach_opset(_OPSET, site.target.opset[1])):
            for match in found:
                work.skipped(match.output.name, f"{_OPERATOR} was not fused: {problem}")
            return work.outcome()
        for match in _matches(work, note=False):
            _write(work, match)
        return work.outcome()


def _dividing(model: ir.Model) -> list[ir.Node]:
    """The nodes, of every graph and body, that may be the last of the core."""
    graphs = [model.graph, *model.graph.subgraphs()]
    return [node for graph in graphs for node in graph if is_standard(node, "Div", "Mul")]


def _matches(work: Rewriting, *, note: bool) -> list[_Match]:
    found = []
    for node in _dividing(work.model):
        core = _core(node)
        if core is None:
            continue
        source, axis, epsilon = core
        sizes = dims(source)
        normalised = None if sizes is None or len(sizes) < -axis else sizes[axis:]
        output, scale = affine_step(node.outputs[0], "Mul", axis, normalised)
        if scale is not None:
            found.append(_Match(output, source, axis, epsilon, scale))
        elif note:
            work.skipped(node.name, f"{_OPERATOR} was not fused: no constant scale along the normalised axes follows")
    return found


def _core(node: ir.Node) -> tuple[ir.Value, int, float] | None:
    """``x``, axis and epsilon, when ``node`` makes ``x / sqrt(mean(x**2) + epsilon)``."""
    for source, other in (node.inputs[:2], node.inputs[1::-1]):
        if source is None or other is None or (node.op_type == "Div" and source is not node.inputs[0]):
            continue
        found = inverse_root_of_mean(other, divides=node.op_type == "Div")
        if found is not None and is_square_of(found[0]) is source:
            return source, found[1], found[2]
    return None


def _write(work: Rewriting, match: _Match) -> None:
    last = match.output.producer()
    assert last is not None
    scale = without_leading_ones(work, last, match.scale, -match.axis)
    attributes = {"axis": match.axis, "epsilon": match.epsilon}
    fused = work.insert(last, _OPERATOR, [match.source, scale], attributes, like=match.output)
    work.redirect(match.output, fused)
    work.did("graph", f"fused {_OPERATOR}")
    work.drop_unused()
