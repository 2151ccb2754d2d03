"""Gathers activation functions that exporters spell out.

1. Successive Relu, Clip, Min and Max with constant bounds become one Clip, or Relu where only the bound 0 is left:
   ``clip(clip(x, a, b), c, d) = clip(x, clip(a, c, d), clip(b, c, d))``. Relu6 is Clip(0, 6).
2. ``x * clip(x + 3, 0, 6) / 6``, in any order and spelling, and ``x * HardSigmoid(x)`` become HardSwish (opset 14).
3. ``clip(x + 3, 0, 6) / 6`` becomes HardSigmoid, where the target executes it.
4. ``x * tanh(softplus(x))`` becomes Mish (opset 18).

``x * sigmoid(x)`` stays as it is: every runtime knows those two operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import float_attribute, input_at, is_standard, rank, scalar, sole_consumer, uses_any
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.products import near, product_of, sum_with
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel

Bounds: TypeAlias = tuple[float, float]
Match: TypeAlias = tuple[ir.Value, ir.Value]
"""What is replaced, and what the function is applied to."""
_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16})
_HARD_SWISH_OPSET = 14
_MISH_OPSET = 18
_CLIP_INPUTS_OPSET = 11
"""From this opset on the bounds of a Clip are inputs, before they are attributes."""
_ATTRIBUTES = {"HardSigmoid": {"alpha": 1 / 6, "beta": 0.5}}
_NO_BOUND = 3.0e38
"""Clip's default bounds before opset 11 are the largest float32 numbers: no bound at all."""


class FuseActivations(Pass[OnnxModel, OnnxModel]):
    """Merges clamps and fuses hard-swish, hard-sigmoid and mish."""

    name: ClassVar[str] = "fuse-activations"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FUSE
    order: ClassVar[int] = 10

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with fewer elementwise nodes."""
        if not uses_any(model, "Relu", "Clip", "Min", "Max", "HardSigmoid", "Softplus"):
            return Outcome(model, 0)
        work = Rewriting(model)
        for node in work.nodes("Relu", "Clip", "Min", "Max"):
            if node.graph is not None:
                _merge_clamps(work, node)
        _fuse(work, site, "HardSwish", _HARD_SWISH_OPSET, _hard_swishes)
        _fuse(work, site, "HardSigmoid", 6, _hard_sigmoids)
        _fuse(work, site, "Mish", _MISH_OPSET, _mishes)
        return work.outcome()


def _fuse(work: Rewriting, site: Site, op_type: str, opset: int, find: Callable[[Rewriting], list[Match]]) -> None:
    """Writes ``op_type`` wherever ``find`` sees it, if the target executes it and the opset has it."""
    matches = find(work) if f"::{op_type}" in site.target.fused_ops else []
    if not matches:
        return
    if problem := work.reach_opset(opset, site.target.opset[1]):
        for output, _ in matches:
            work.skipped(output.name, f"{op_type} was not fused: {problem}")
        return
    for output, source in find(work):
        if None not in {rank(output), rank(source)} and rank(output) != rank(source):
            work.skipped(output.name, f"{op_type} was not fused: a constant adds dimensions")
            continue
        _replace(work, output, source, op_type, _ATTRIBUTES.get(op_type))


def _replace(
    work: Rewriting, output: ir.Value, source: ir.Value, op_type: str, attributes: dict[str, float] | None = None
) -> None:
    node = output.producer()
    if node is None or node.graph is None:
        return
    fused = work.insert(node, op_type, [source], dict(attributes or {}), like=output)
    work.redirect(output, fused)
    work.did("graph", f"fused {op_type}")
    work.drop_unused()


def _merge_clamps(work: Rewriting, node: ir.Node) -> None:
    outer = _clamp(node)
    if outer is None:
        return
    source, bounds = outer
    before = source.producer()
    inner = None if before is None else _clamp(before)
    if before is None or inner is None:
        if node.op_type == "Clip" and bounds == (0.0, math.inf):
            _write_clamp(work, node, source, bounds, "turned Clip with the bound 0 alone into Relu")
        return
    if sole_consumer(source) is not node:
        return  # the inner one would have to stay: nothing is gained
    low, high = bounds
    if low > high or inner[1][0] > inner[1][1]:
        work.skipped(node.name, "successive clamps were not merged: a lower bound is above its upper bound")
        return
    merged = (min(max(inner[1][0], low), high), max(min(inner[1][1], high), low))
    _write_clamp(work, node, inner[0], merged, "merged successive clamps")


def _clamp(node: ir.Node) -> tuple[ir.Value, Bounds] | None:
    """What is clamped and between what, when ``node`` clamps floats between constants."""
    source = input_at(node, 0)
    if source is None or node.outputs[0].dtype not in _FLOATS:
        return None
    if is_standard(node, "Relu"):
        return source, (0.0, math.inf)
    if is_standard(node, "Clip"):
        low = high = None
        if "min" in node.attributes or "max" in node.attributes or len(node.inputs) == 1:
            low, high = float_attribute(node, "min", -math.inf), float_attribute(node, "max", math.inf)
        else:
            low = -math.inf if input_at(node, 1) is None else scalar(input_at(node, 1))
            high = math.inf if input_at(node, 2) is None else scalar(input_at(node, 2))
        if low is None or high is None or math.isnan(low) or math.isnan(high):
            return None
        return source, (low if low > -_NO_BOUND else -math.inf, high if high < _NO_BOUND else math.inf)
    if not is_standard(node, "Min", "Max") or len(node.inputs) != 2:
        return None
    for value, bound in ((node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])):
        number = scalar(bound)
        if number is None or value is None or math.isnan(number) or (rank(bound) or 0) > (rank(value) or 0):
            continue
        return value, ((-math.inf, number) if node.op_type == "Min" else (number, math.inf))
    return None


def _write_clamp(work: Rewriting, node: ir.Node, source: ir.Value, bounds: Bounds, text: str) -> None:
    output = node.outputs[0]
    low, high = bounds
    if bounds == (0.0, math.inf):
        value = work.insert(node, "Relu", [source], like=output)
    elif work.opset >= _CLIP_INPUTS_OPSET:
        assert output.dtype is not None
        inputs: list[ir.Value | None] = [source]
        for name, bound in (("low", low), ("high", high)):
            known = math.isfinite(bound)
            array = np.array(bound, dtype=output.dtype.numpy())
            inputs.append(work.constant(node, f"{node.name or 'clip'}.{name}", array, output.dtype) if known else None)
        value = work.insert(node, "Clip", inputs, like=output)
    else:
        finite = {name: bound for name, bound in (("min", low), ("max", high)) if math.isfinite(bound)}
        value = work.insert(node, "Clip", [source], finite, like=output)
    work.redirect(output, value)
    work.did("graph", text)
    work.drop_unused()


def _hard_swishes(work: Rewriting) -> list[Match]:
    """Each ``(output, x)`` with ``output = x * clip(x + 3, 0, 6) / 6``."""
    found: list[Match] = []
    taken: set[ir.Node] = set()
    for node in reversed(work.nodes("Mul", "Div")):
        if node in taken:
            continue  # a part of the product below it
        product = product_of(node.outputs[0])
        if len(product.factors) != 2:
            continue
        for source, gate in (product.factors, product.factors[::-1]):
            if _is_gate(gate, source, product.constant):
                found.append((node.outputs[0], source))
                taken.update(product.inner)
                break
    return found[::-1]


def _is_gate(gate: ir.Value, source: ir.Value, constant: float) -> bool:
    node = gate.producer()
    if node is None:
        return False
    if is_standard(node, "HardSigmoid") and near(constant, 1.0):
        sixth = near(float_attribute(node, "alpha", 0.2), 1 / 6)
        return sixth and near(float_attribute(node, "beta", 0.5), 0.5) and node.inputs[0] is source
    return near(constant, 1 / 6) and _clipped_sum(gate) is source


def _clipped_sum(value: ir.Value) -> ir.Value | None:
    """``x`` when ``value`` is ``clip(x + 3, 0, 6)``."""
    node = value.producer()
    clamp = None if node is None else _clamp(node)
    if clamp is None or clamp[1] != (0.0, 6.0):
        return None
    return sum_with(clamp[0], 3.0)


def _hard_sigmoids(work: Rewriting) -> list[Match]:
    """Each ``(output, x)`` with ``output = clip(x + 3, 0, 6) / 6``."""
    found: list[Match] = []
    for node in work.nodes("Mul", "Div"):
        product = product_of(node.outputs[0])
        if len(product.factors) == 1 and near(product.constant, 1 / 6):
            source = _clipped_sum(product.factors[0])
            if source is not None:
                found.append((node.outputs[0], source))
    return found


def _mishes(work: Rewriting) -> list[Match]:
    """Each ``(output, x)`` with ``output = x * tanh(softplus(x))``."""
    found: list[Match] = []
    for node in work.nodes("Mul"):
        for source, gate in (node.inputs[:2], node.inputs[1::-1]):
            tanh = None if gate is None else gate.producer()
            softplus = tanh.inputs[0] if tanh is not None and is_standard(tanh, "Tanh") else None
            maker = None if softplus is None else softplus.producer()
            if (
                source is not None
                and maker is not None
                and is_standard(maker, "Softplus")
                and maker.inputs[0] is source
            ):
                found.append((node.outputs[0], source))
                break
    return found
