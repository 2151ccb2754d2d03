"""The pieces that layer and root-mean-square normalisation share, recognised in the spellings exporters use."""

from __future__ import annotations

import onnx_ir as ir

from edgewright.compiler.graphs import (
    constant,
    constant_tensor,
    input_at,
    int_attribute,
    integers,
    ints_attribute,
    is_standard,
    rank,
    sole_consumer,
)
from edgewright.compiler.products import near, scalar
from edgewright.compiler.rewriting import Rewriting


def mean_over_last(value: ir.Value) -> tuple[ir.Value, int] | None:
    """``(x, axis)`` when ``value`` is the mean of ``x`` from ``axis`` (negative) to the end, dimensions kept."""
    node = value.producer()
    if node is None or not is_standard(node, "ReduceMean") or int_attribute(node, "keepdims", 1) != 1:
        return None
    axes = ints_attribute(node, "axes") or integers(input_at(node, 1))
    source = node.inputs[0]
    if not axes or source is None:
        return None
    size = rank(source)
    if any(axis >= 0 for axis in axes):
        if size is None:
            return None
        axes = [axis if axis < 0 else axis - size for axis in axes]
    if sorted(axes) != list(range(-len(axes), 0)):
        return None
    return source, -len(axes)


def is_square_of(value: ir.Value) -> ir.Value | None:
    """``x`` when ``value`` is ``x * x`` or ``x ** 2``."""
    node = value.producer()
    if node is None:
        return None
    if is_standard(node, "Mul") and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    if is_standard(node, "Pow") and scalar(input_at(node, 1)) == 2:
        return node.inputs[0]
    return None


def inverse_root_of_mean(value: ir.Value, *, divides: bool) -> tuple[ir.Value, int, float] | None:
    """``(z, axis, epsilon)`` when multiplying by ``value`` is multiplying by ``1 / sqrt(mean(z) + epsilon)``.

    With ``divides``, when dividing by ``value`` is.
    """
    node = value.producer()
    if node is None:
        return None
    if not divides:
        if is_standard(node, "Reciprocal"):
            return inverse_root_of_mean(node.inputs[0], divides=True) if node.inputs[0] is not None else None
        if is_standard(node, "Div") and scalar(node.inputs[0]) == 1:
            return inverse_root_of_mean(node.inputs[1], divides=True) if node.inputs[1] is not None else None
        if is_standard(node, "Pow") and scalar(input_at(node, 1)) == -0.5:
            return _mean_and_epsilon(node.inputs[0])
        return None
    if is_standard(node, "Sqrt") or (is_standard(node, "Pow") and near(scalar(input_at(node, 1)), 0.5, 1e-6)):
        return _mean_and_epsilon(node.inputs[0])
    return None


def _mean_and_epsilon(value: ir.Value | None) -> tuple[ir.Value, int, float] | None:
    node = None if value is None else value.producer()
    if node is None or not is_standard(node, "Add"):
        return None
    for one, two in (node.inputs[:2], node.inputs[1::-1]):
        epsilon = scalar(two)
        averaged = None if one is None else mean_over_last(one)
        if epsilon is not None and averaged is not None and epsilon >= 0:
            return averaged[0], averaged[1], epsilon
    return None


def affine_step(
    value: ir.Value, op_type: str, axis: int, normalised: list[int | str | None] | None
) -> tuple[ir.Value, ir.Value | None]:
    """The result and the constant of the Mul or Add behind ``value``; ``value`` itself and None where there is none.

    The constant must be one number per element of the normalised axes; any other scale stays an operator of its own.
    """
    reader = sole_consumer(value)
    if reader is None or not is_standard(reader, op_type):
        return value, None
    for one, two in (reader.inputs[:2], reader.inputs[1::-1]):
        shape = None if two is None else trailing_shape(two)
        if one is not value or shape is None or len(shape) != -axis or (rank(two) or 0) > (rank(value) or -axis):
            continue
        known = normalised if normalised is not None else [None] * len(shape)
        # A size of one would be spread over the axis, unless the axis has that size.
        if all(
            size == want or (want is None and size > 1) or (isinstance(want, str) and size > 1)
            for size, want in zip(shape, known, strict=True)
        ):
            return reader.outputs[0], two
    return value, None


def trailing_shape(value: ir.Value) -> list[int] | None:
    """A constant's shape without its leading ones, ``[1]`` at the least; None for a scalar and what is not constant."""
    tensor = constant_tensor(value)
    if tensor is None or len(tensor.shape) == 0:
        return None
    shape = [int(size) for size in tensor.shape.numpy()]
    while len(shape) > 1 and shape[0] == 1:
        shape.pop(0)
    return shape


def without_leading_ones(work: Rewriting, near_node: ir.Node, value: ir.Value, size: int) -> ir.Value:
    """``value`` itself when it has ``size`` dimensions, else a constant of that many."""
    array = constant(value)
    if array is None or array.ndim == size:
        return value
    return work.constant(near_node, f"{value.name}.flat", array.reshape(array.shape[array.ndim - size :]), value.dtype)
