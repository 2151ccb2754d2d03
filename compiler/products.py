"""Reads a chain of Mul, Div and Neg as one product, however an exporter spelt it.

``x * 0.5 * (1 + g)``, ``0.5 * (x * (1 + g))`` and ``(x * (1 + g)) / 2`` all have the factors ``x`` and ``1 + g`` and
the constant 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgewright.compiler.graphs import input_at, is_standard, rank, sole_consumer
from edgewright.compiler.graphs import scalar as number_in

_DEEPEST = 6


@dataclass(frozen=True)
class Product:
    """``constant * factors[0] * factors[1] * ...``; ``inner`` are the nodes that make it, but for the last."""

    constant: float
    factors: tuple[ir.Value, ...]
    inner: tuple[ir.Node, ...]


def product_of(value: ir.Value | None, *, depth: int = _DEEPEST) -> Product:
    """The factors of ``value``; itself alone when no Mul or Div made it.

    Below the first node, only results that nothing else reads are taken apart.
    """
    assert value is not None
    node = value.producer()
    number = scalar(value)
    if number is not None:
        return Product(number, (), ())
    if node is None or depth == 0 or not is_standard(node, "Mul", "Div"):
        return Product(1.0, (value,), ())
    left, right = node.inputs[0], node.inputs[1]
    if node.op_type == "Div":
        divisor = scalar(right)
        if not divisor:
            return Product(1.0, (value,), ())
        part = _part(left, node, depth)
        return Product(part.constant / divisor, part.factors, (*part.inner, node))
    one, two = _part(left, node, depth), _part(right, node, depth)
    return Product(one.constant * two.constant, one.factors + two.factors, (*one.inner, *two.inner, node))


def _part(value: ir.Value | None, reader: ir.Node, depth: int) -> Product:
    assert value is not None
    if scalar(value) is None and sole_consumer(value) is not reader:
        return Product(1.0, (value,), ())
    return product_of(value, depth=depth - 1)


def sum_with(value: ir.Value | None, number: float) -> ir.Value | None:
    """``z`` when ``value`` is ``z + number``, either way round."""
    node = None if value is None else value.producer()
    if node is None or not is_standard(node, "Add"):
        return None
    for one, two in ((0, 1), (1, 0)):
        if near(scalar(input_at(node, two)), number):
            return input_at(node, one)
    return None


def scalar(value: ir.Value | None) -> float | None:
    """A constant of one element and at most one dimension: more of them could add some to the result."""
    return number_in(value) if (rank(value) or 0) <= 1 else None


def near(number: float | None, wanted: float, relative: float = 1e-3) -> bool:
    """Whether a constant that an exporter rounded is meant to be ``wanted``."""
    return number is not None and abs(number - wanted) <= relative * abs(wanted)
