"""Gathers the Gaussian error linear unit that exporters spell out.

``erf``: ``0.5 * x * (1 + erf(x / sqrt(2)))``; ``tanh``: ``0.5 * x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 * x**3)))``,
each product in any order and spelling. (Hendrycks and Gimpel 2016, arXiv:1606.08415.)

Written as the standard ``Gelu`` of opset 20 when the model has that opset; below it as ``com.microsoft::Gelu`` (erf) or
``FastGelu`` (tanh) when the target declares them; else the opset is raised, if the target takes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from edgewright.compiler.graphs import MICROSOFT, input_at, is_standard, rank, scalar, uses_any
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.products import near, product_of, sum_with
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.targets.schema import Target

_GELU_OPSET = 20
_CONTRIBUTED = {"none": "Gelu", "tanh": "FastGelu"}
_NEEDED = frozenset({"::Gelu", *(f"{MICROSOFT}::{op}" for op in _CONTRIBUTED.values())})


@dataclass(frozen=True)
class _Match:
    output: ir.Value
    source: ir.Value
    approximate: str


class FuseGelu(Pass[OnnxModel, OnnxModel]):
    """Fuses GELU in its erf and its tanh form."""

    name: ClassVar[str] = "fuse-gelu"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 20

    @classmethod
    def wanted(cls, target: Target, precision: str) -> str | None:
        """For a target that executes one of the fused forms."""
        del precision
        return None if target.fused_ops & _NEEDED else f"{target.name} declares no fused GELU"

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with GELU nodes."""
        if not uses_any(model, "Erf", "Tanh"):
            return Outcome(model, 0)
        work = Rewriting(model)
        takes = site.target.fused_ops
        matches = _matches(work)
        direct = [item for item in matches if _direct(work, item, takes)]
        problem = "the target declares no fused GELU of its kind"
        if len(direct) < len(matches) and "::Gelu" in takes:
            problem = work.reach_opset(_GELU_OPSET, site.target.opset[1])
            matches = _matches(work)
        for match in matches:
            operator = _direct(work, match, takes)
            if None not in {rank(match.output), rank(match.source)} and rank(match.output) != rank(match.source):
                work.skipped(match.output.name, "GELU was not fused: a constant adds dimensions")
            elif operator is None:
                work.skipped(match.output.name, f"GELU was not fused: {problem}")
            else:
                _write(work, match, *operator)
        return work.outcome()


def _direct(work: Rewriting, match: _Match, takes: frozenset[str]) -> tuple[str, str] | None:
    """Domain and operator to write without raising the opset."""
    if work.opset >= _GELU_OPSET and "::Gelu" in takes:
        return "", "Gelu"
    operator = _CONTRIBUTED[match.approximate]
    return (MICROSOFT, operator) if f"{MICROSOFT}::{operator}" in takes else None


def _write(work: Rewriting, match: _Match, domain: str, operator: str) -> None:
    node = match.output.producer()
    assert node is not None
    approximate = {"approximate": match.approximate} if not domain and match.approximate == "tanh" else {}
    fused = work.insert(node, operator, [match.source], approximate, domain=domain, like=match.output)
    work.redirect(match.output, fused)
    work.did("graph", f"fused GELU into {domain}::{operator}" if domain else "fused GELU into Gelu")
    work.drop_unused()


def _matches(work: Rewriting) -> list[_Match]:
    found: list[_Match] = []
    taken: set[ir.Node] = set()
    for node in reversed(work.nodes("Mul", "Div")):
        if node in taken:
            continue
        product = product_of(node.outputs[0])
        if len(product.factors) != 2 or not near(product.constant, 0.5):
            continue
        for source, gate in (product.factors, product.factors[::-1]):
            kind = _gate(gate, source)
            if kind is not None:
                found.append(_Match(node.outputs[0], source, kind))
                taken.update(product.inner)
                break
    return found[::-1]


def _gate(gate: ir.Value, source: ir.Value) -> str | None:
    """``none`` for ``1 + erf(x / sqrt(2))``, ``tanh`` for the approximation, else None."""
    curve = sum_with(gate, 1.0)
    node = None if curve is None else curve.producer()
    if node is None:
        return None
    if is_standard(node, "Erf"):
        inner = product_of(node.inputs[0])
        return "none" if inner.factors == (source,) and near(inner.constant, math.sqrt(0.5)) else None
    if is_standard(node, "Tanh"):
        inner = product_of(node.inputs[0])
        if near(inner.constant, math.sqrt(2 / math.pi)) and _is_polynomial(inner.factors, source):
            return "tanh"
    return None


def _is_polynomial(factors: tuple[ir.Value, ...], source: ir.Value) -> bool:
    """``x + 0.044715 x**3``, or ``x * (1 + 0.044715 x**2)``."""
    if len(factors) == 1:
        node = factors[0].producer()
        if node is None or not is_standard(node, "Add"):
            return False
        for one, two in (node.inputs[:2], node.inputs[1::-1]):
            if one is source and two is not None and _is_power(two, source, 3):
                return True
        return False
    if len(factors) == 2 and source in factors:
        other = factors[1] if factors[0] is source else factors[0]
        rest = sum_with(other, 1.0)
        return rest is not None and _is_power(rest, source, 2)
    return False


def _is_power(value: ir.Value, source: ir.Value, exponent: int) -> bool:
    """Whether ``value`` is ``0.044715 * x**exponent``, the power by Pow or by multiplication."""
    product = product_of(value)
    if not near(product.constant, 0.044715):
        return False
    total = 0
    for factor in product.factors:
        node = factor.producer()
        if factor is source:
            total += 1
        elif node is not None and is_standard(node, "Pow") and node.inputs[0] is source:
            total += int(scalar(input_at(node, 1)) or 0)
        else:
            return False
    return total == exponent
