"""Gathers layer normalisation that exporters spell out.

``y = (x - m) / sqrt(mean((x - m)**2) + epsilon) * scale + bias`` with ``m = mean(x)`` over the last axes (Ba, Kiros
and Hinton 2016, arXiv:1607.06450). The square may be Pow or Mul, the quotient Div, Reciprocal or Pow by -1/2, scale and
bias may be missing. Written as LayerNormalization of opset 17.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import dims, is_standard, uses_any
from edgewright.compiler.normalisations import (
    affine_step,
    inverse_root_of_mean,
    is_square_of,
    mean_over_last,
    trailing_shape,
    without_leading_ones,
)
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

_OPSET = 17


@dataclass(frozen=True)
class _Match:
    output: ir.Value
    source: ir.Value
    axis: int
    """First of the normalised axes, counted from the end."""
    epsilon: float
    scale: ir.Value | None
    bias: ir.Value | None


class FuseLayernorm(Pass[OnnxModel, OnnxModel]):
    """Fuses decomposed layer normalisation."""

    name: ClassVar[str] = "fuse-layernorm"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 30

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """For a target that executes LayerNormalization."""
        del precision
        return None if "::LayerNormalization" in target.fused_ops else f"{target.name} declares no LayerNormalization"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with LayerNormalization nodes."""
        if not uses_any(model, "ReduceMean"):
            return Outcome(model, 0)
        work = Rewriting(model)
        if "::LayerNormalization" not in site.target.fused_ops:
            return work.outcome()
        found = _matches(work, note=True)
        if found and (problem := work.reach_opset(_OPSET, site.target.opset[1])):
            for match in found:
                work.skipped(match.output.name, f"LayerNormalization was not fused: {problem}")
            return work.outcome()
        for match in _matches(work, note=False):
            _write(work, match)
        return work.outcome()


def _matches(work: Rewriting, *, note: bool) -> list[_Match]:
    found = []
    for node in work.nodes("Div", "Mul"):
        match = _match(work, node, note=note)
        if match is not None:
            found.append(match)
    return found


def _match(work: Rewriting, node: ir.Node, *, note: bool) -> _Match | None:
    core = _core(node)
    if core is None:
        return None
    source, axis, epsilon = core

    def miss(text: str) -> None:
        if note:
            work.skipped(node.name, f"LayerNormalization was not fused: {text}")

    if source.dtype is not None and source.dtype not in {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16}:
        miss(f"it computes in {source.dtype}")
        return None
    sizes = dims(source)
    normalised = None if sizes is None or len(sizes) < -axis else sizes[axis:]
    output, scale = affine_step(node.outputs[0], "Mul", axis, normalised)
    bias = None
    if scale is not None:
        shape = trailing_shape(scale)
        output, bias = affine_step(output, "Add", axis, list(shape or ()))
    elif normalised is None or not all(isinstance(size, int) for size in normalised):
        miss("the size of the normalised axes is not known, and there is no scale to tell it")
        return None
    return _Match(output, source, axis, epsilon, scale, bias)


def _core(node: ir.Node) -> tuple[ir.Value, int, float] | None:
    """``x``, axis and epsilon, when ``node`` makes ``(x - m) / sqrt(mean((x - m)**2) + epsilon)``."""
    for centred, other in (node.inputs[:2], node.inputs[1::-1]):
        if centred is None or other is None or (node.op_type == "Div" and centred is not node.inputs[0]):
            continue
        found = inverse_root_of_mean(other, divides=node.op_type == "Div")
        difference = centred.producer()
        if found is None or difference is None or not is_standard(difference, "Sub"):
            continue
        squared, axis, epsilon = found
        source, mean = difference.inputs[0], difference.inputs[1]
        if source is None or mean is None or not _is_square_of_difference(squared, centred, source, axis):
            continue
        averaged = mean_over_last(mean)
        if averaged is not None and averaged == (source, axis):
            return source, axis, epsilon
    return None


def _is_square_of_difference(squared: ir.Value, centred: ir.Value, source: ir.Value, axis: int) -> bool:
    """The square of ``centred`` itself, or of another ``x - mean(x)`` that an exporter wrote twice."""
    base = is_square_of(squared)
    if base is None:
        return False
    if base is centred:
        return True
    twin = base.producer()
    if twin is None or not is_standard(twin, "Sub") or twin.inputs[0] is not source or twin.inputs[1] is None:
        return False
    return mean_over_last(twin.inputs[1]) == (source, axis)


def _write(work: Rewriting, match: _Match) -> None:
    last = match.output.producer()
    assert last is not None
    scale, bias = match.scale, match.bias
    if scale is None:
        sizes = dims(match.source)
        assert sizes is not None
        kind = match.source.dtype or ir.DataType.FLOAT
        ones = np.ones([size for size in sizes[match.axis :] if isinstance(size, int)], dtype=kind.numpy())
        scale = work.constant(last, f"{last.name or 'layernorm'}.ones", ones, kind)
    scale = without_leading_ones(work, last, scale, -match.axis)
    inputs: list[ir.Value | None] = [match.source, scale]
    if bias is not None:
        inputs.append(without_leading_ones(work, last, bias, -match.axis))
    fused = work.insert(
        last,
        "LayerNormalization",
        inputs,
        {"axis": match.axis, "epsilon": match.epsilon},
        like=match.output,
    )
    work.redirect(match.output, fused)
    work.did("graph", "fused LayerNormalization")
    work.drop_unused()
