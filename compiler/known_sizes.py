"""Follows integers that come from shapes, element by element, where the tensors themselves are not known.

``Shape`` of an ``N x 3 x 224 x 224`` tensor is ``[?, 3, 224, 224]``; ``Gather`` of its element 2 is 224 whatever N is.
A partly known tensor is an object array whose unknown elements are None.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from edgewright.compiler.graphs import (
    constant,
    dims,
    input_at,
    int_attribute,
    integers,
    ints_attribute,
    is_standard,
)
from edgewright.core.tensors import Array

Partial = npt.NDArray[np.object_]
_LARGEST = 64
_INTEGERS = {ir.DataType.INT64: np.int64, ir.DataType.INT32: np.int32}


class KnownSizes:
    """What is known of the small integer tensors seen so far; visit nodes in the order of execution."""

    def __init__(self, opset: int) -> None:
        self._known: dict[ir.Value, Partial] = {}
        self._opset = opset

    def visit(self, node: ir.Node) -> Array | None:
        """Takes in one node; its output when every element of it is known and it is not made of constants alone."""
        rule = _RULES.get(node.op_type)
        if rule is None or not is_standard(node, node.op_type) or len(node.outputs) != 1:
            return None
        if node.op_type in {"Shape", "Size"}:
            source, inputs = node.inputs[0], []
            result = _shape(node, dims(source))
        else:
            inputs = [self._of(value) for value in node.inputs]
            if not any(value in self._known for value in node.inputs if value is not None) or inputs[0] is None:
                return None
            result = rule(node, inputs)
        if result is None or result.size > _LARGEST:
            return None
        self._known[node.outputs[0]] = result
        if any(item is None for item in result.ravel()):
            return None
        dtype = _INTEGERS.get(node.outputs[0].dtype or ir.DataType.INT64)
        return None if dtype is None else np.array(result.tolist(), dtype=dtype).reshape(result.shape)

    def _of(self, value: ir.Value | None) -> Partial | None:
        if value is None:
            return None
        if value in self._known:
            return self._known[value]
        array = constant(value, largest=_LARGEST)
        return None if array is None or array.dtype.kind not in "iu" else array.astype(object)


def _shape(node: ir.Node, shape: list[int | str | None] | None) -> Partial | None:
    if shape is None:
        return None
    sizes = [dim if isinstance(dim, int) else None for dim in shape]
    if node.op_type == "Size":
        if None in sizes:
            return None
        return np.array(int(np.prod([dim or 0 for dim in sizes], dtype=object)) if sizes else 1, dtype=object)
    end = node.attributes.get("end")
    chosen = sizes[int_attribute(node, "start", 0) : end.as_int() if end is not None and not end.is_ref() else None]
    return _objects(chosen)


def _objects(items: list[int | None]) -> Partial:
    result = np.empty(len(items), dtype=object)
    result[:] = items
    return result


def _gather(node: ir.Node, inputs: list[Partial | None]) -> Partial | None:
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or data.ndim != 1 or int_attribute(node, "axis", 0) not in {0, -1}:
        return None
    if any(item is None or not -data.size <= item < data.size for item in indices.ravel()):
        return None
    return np.asarray(np.take(data, indices.astype(np.int64)), dtype=object)


def _slice(node: ir.Node, inputs: list[Partial | None]) -> Partial | None:
    data = inputs[0]
    if data is None or data.ndim != 1:
        return None
    parts = [integers(input_at(node, index)) for index in (1, 2)]
    if len(node.inputs) == 1:
        parts = [ints_attribute(node, "starts"), ints_attribute(node, "ends")]
    steps = [1] if input_at(node, 4) is None else integers(input_at(node, 4))
    if any(part is None or len(part) != 1 for part in (*parts, steps)):
        return None
    start, end, step = (part[0] for part in (*parts, steps) if part is not None)
    if step == 0:
        return None
    if step < 0 and end < -data.size:
        return np.asarray(data[start::step], dtype=object)
    return np.asarray(data[start:end:step], dtype=object)


def _concat(node: ir.Node, inputs: list[Partial | None]) -> Partial | None:
    if int_attribute(node, "axis", 0) not in {0, -1} or any(item is None or item.ndim != 1 for item in inputs):
        # A part that is wholly unknown has an unknown length too.
        return None
    return np.concatenate([item for item in inputs if item is not None])


def _flatten(node: ir.Node, inputs: list[Partial | None]) -> Partial | None:
    """Squeeze and Unsqueeze between a scalar and one element; Reshape of one element or of a vector to a vector."""
    data = inputs[0]
    if data is None or data.ndim > 1:
        return None
    if node.op_type == "Unsqueeze":
        return data.reshape(1) if data.ndim == 0 else None
    if node.op_type == "Squeeze":
        return data.reshape(()) if data.size == 1 else None
    shape = integers(input_at(node, 1))
    if shape == [] and data.size == 1:
        return data.reshape(())
    return data.reshape(-1) if shape == [-1] or (shape is not None and shape == [data.size] != [0]) else None


def _same(node: ir.Node, inputs: list[Partial | None]) -> Partial | None:
    if node.op_type == "Cast" and int_attribute(node, "to", 0) not in {kind.value for kind in _INTEGERS}:
        return None
    return inputs[0]


def _arithmetic(node: ir.Node, inputs: list[Partial | None]) -> Partial | None:
    first, second = inputs[0], inputs[1]
    if first is None or second is None or max(first.ndim, second.ndim) > 1:
        return None
    try:
        left, right = np.broadcast_arrays(first, second)
    except ValueError:
        return None
    operation = _OPERATIONS[node.op_type]
    flat = [
        None if one is None or two is None else operation(int(one), int(two))
        for one, two in zip(left.ravel(), right.ravel(), strict=True)
    ]
    return _objects(flat).reshape(left.shape)


def _divide(one: int, two: int) -> int | None:
    """Integer division as ONNX defines it, towards zero."""
    return None if two == 0 else abs(one) // abs(two) * (1 if (one < 0) == (two < 0) else -1)


_OPERATIONS: dict[str, Callable[[int, int], int | None]] = {
    "Add": lambda one, two: one + two,
    "Sub": lambda one, two: one - two,
    "Mul": lambda one, two: one * two,
    "Div": _divide,
}
_RULES: dict[str, Callable[[ir.Node, list[Partial | None]], Partial | None]] = {
    "Shape": _same,
    "Size": _same,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Squeeze": _flatten,
    "Unsqueeze": _flatten,
    "Reshape": _flatten,
    "Cast": _same,
    "Identity": _same,
    **dict.fromkeys(_OPERATIONS, _arithmetic),
}
