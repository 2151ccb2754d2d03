"""Joins the residual Add and the LayerNormalization behind it into ``com.microsoft::SkipLayerNormalization``.

``y = layer_norm(x + skip)``; the sum itself is its fourth output where something else reads it too. A bias added to
``x`` before comes along as the fifth input. Only for tensors ``(B, S, H)`` or ``(S, H)`` of equal shape, normalised
over ``H``: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
"""

from __future__ import annotations

import copy
from typing import ClassVar

import onnx_ir as ir

from edgewright.compiler.graphs import (
    MICROSOFT,
    constant_tensor,
    float_attribute,
    input_at,
    int_attribute,
    is_standard,
    rank,
    same_shape,
    sole_consumer,
    uses_any,
)
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

_OPERATOR = "SkipLayerNormalization"
_DECLARED = f"{MICROSOFT}::{_OPERATOR}"


class FuseSkipLayernorm(Pass[OnnxModel, OnnxModel]):
    """Fuses residual Add and LayerNormalization."""

    name: ClassVar[str] = "fuse-skip-layernorm"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 60

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """For a target that executes the fused operator."""
        del precision
        return None if _DECLARED in target.fused_ops else f"{target.name} declares no {_OPERATOR}"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with SkipLayerNormalization nodes."""
        if not uses_any(model, "LayerNormalization"):
            return Outcome(model, 0)
        work = Rewriting(model)
        if _DECLARED in site.target.fused_ops:
            for norm in work.nodes("LayerNormalization"):
                _fuse(work, norm)
        return work.outcome()


def _fuse(work: Rewriting, norm: ir.Node) -> None:
    total = norm.inputs[0]
    add = None if total is None else total.producer()
    if total is None or add is None or not is_standard(add, "Add") or add.graph is not norm.graph:
        return
    one, two = add.inputs[0], add.inputs[1]
    if one is None or two is None or constant_tensor(one) is not None or constant_tensor(two) is not None:
        return
    problem = _problem(norm, one, two)
    if problem:
        work.skipped(norm.name, f"{_OPERATOR} was not fused: {problem}")
        return
    first, bias = _biased(add, one)
    second = two
    if bias is None:
        first, bias = _biased(add, two)
        second = one
    output, hint = norm.outputs[0], norm.name or _OPERATOR
    normalised = ir.Value(name=work.unique(f"{hint}.normalised"), type=copy.copy(output.type), shape=output.shape)
    summed = ir.Value(name=work.unique(f"{hint}.sum"), type=copy.copy(total.type), shape=total.shape)
    needed = sole_consumer(total) is not norm
    inputs = [first, second, norm.inputs[1], input_at(norm, 2), bias]
    while inputs[-1] is None:
        inputs.pop()
    fused = ir.Node(
        MICROSOFT,
        _OPERATOR,
        inputs,
        [ir.AttrFloat32("epsilon", float_attribute(norm, "epsilon", 1e-5))],
        outputs=[normalised, ir.Value(name=""), ir.Value(name=""), summed] if needed else [normalised],
        name=work.unique(hint),
    )
    graph = norm.graph
    assert isinstance(graph, ir.Graph)
    graph.insert_after(add, fused)  # other readers of the sum may stand before the normalisation
    work.model.graph.opset_imports.setdefault(MICROSOFT, 1)
    work.redirect(output, normalised)
    if needed:
        work.redirect(total, summed)
    else:
        work.orphan(total)
    work.did("graph", f"fused {_DECLARED}")
    work.drop_unused()


def _problem(norm: ir.Node, one: ir.Value, two: ir.Value) -> str:
    size = rank(norm.inputs[0]) or rank(one)
    if size not in {2, 3}:
        return "the tensor has not two or three dimensions, or nobody knows how many"
    if int_attribute(norm, "axis", -1) not in {-1, size - 1}:
        return "more than the last axis is normalised"
    if not same_shape(one, two):
        return "the two tensors that are added may differ in shape"
    if any(value.name and (value.uses() or value.is_graph_output()) for value in norm.outputs[1:]):
        return "mean or deviation are read"
    if any(value is not None and not value.is_initializer() for value in norm.inputs[1:]):
        return "scale or bias are not initializers"
    if one.dtype not in {ir.DataType.FLOAT, ir.DataType.FLOAT16}:
        return f"it computes in {one.dtype}"
    return ""


def _biased(add: ir.Node, value: ir.Value) -> tuple[ir.Value, ir.Value | None]:
    """``x`` and ``b`` when ``value`` is ``x + b`` for a constant row ``b`` and nothing else reads it."""
    inner = value.producer()
    if inner is None or not is_standard(inner, "Add") or sole_consumer(value) is not add:
        return value, None
    for one, two in (inner.inputs[:2], inner.inputs[1::-1]):
        row = constant_tensor(two)
        if (
            one is not None
            and two is not None
            and two.is_initializer()
            and row is not None
            and len(row.shape) == 1
            and same_shape(one, value)
        ):
            return one, two
    return value, None
