"""Joins MatMul and Add of a constant row into Gemm, where the target quantises Gemm as a whole.

``Gemm(x, W, b) = x W + b`` for ``x (N, K)``, ``W (K, M)`` and ``b (M,)``. In float runtimes join the two by themselves
or gain nothing, so the pass stays away; in int8 a Gemm's bias is added before its result is rounded, an Add behind a
MatMul is an operator of its own with a range of its own.
"""

from __future__ import annotations

from typing import ClassVar

import onnx_ir as ir

from edgewright.compiler.graphs import constant_tensor, is_standard, rank, sole_consumer, uses_any
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target


class MatmulAdd(Pass[OnnxModel, OnnxModel]):
    """MatMul + Add of two-dimensional tensors becomes Gemm."""

    name: ClassVar[str] = "matmul-add"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 80

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """Only for a target whose static int8 schemes quantise Gemm."""
        if precision not in {"int8", "auto"}:
            return f"at {precision} a runtime joins MatMul and Add by itself or gains nothing"
        schemes = target.int8.schemes if target.int8 is not None else ()
        if any(scheme.kind == "static" and "Gemm" in scheme.op_kinds for scheme in schemes):
            return None
        return f"{target.name} does not quantise Gemm"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with Gemm nodes."""
        del site
        if not uses_any(model, "MatMul"):
            return Outcome(model, 0)
        work = Rewriting(model)
        for add in work.nodes("Add"):
            for product, row in (add.inputs[:2], add.inputs[1::-1]):
                if product is not None and row is not None and is_standard(product.producer(), "MatMul"):
                    _join(work, add, product, row)
                    break
        return work.outcome()


def _join(work: Rewriting, add: ir.Node, product: ir.Value, row: ir.Value) -> None:
    matmul = product.producer()
    bias = constant_tensor(row)
    if matmul is None or bias is None:
        return
    if sole_consumer(product) is not add:
        work.skipped(add.name, "MatMul + Add was not joined: the product is read elsewhere too")
        return
    left, right = matmul.inputs[0], matmul.inputs[1]
    if rank(left) != 2 or rank(right) != 2:
        return  # a Gemm takes matrices only: leaving it is the rule, not a near miss
    weight = constant_tensor(right)
    if weight is None:
        work.skipped(add.name, "MatMul + Add was not joined: the second factor is not a constant")
        return
    columns = int(weight.shape.numpy()[1])
    if tuple(bias.shape.numpy()) not in {(columns,), (1, columns), (1,), ()}:
        work.skipped(add.name, "MatMul + Add was not joined: what is added is not one row")
        return
    joined = work.insert(add, "Gemm", [left, right, row], hint=matmul.name or "gemm", like=add.outputs[0])
    work.redirect(add.outputs[0], joined)
    work.did("graph", "joined MatMul and Add into Gemm")
    work.drop_unused()
