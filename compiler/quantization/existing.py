"""Q/DQ pairs that a model brings: a tensor that has one keeps its grid, so that nothing is rounded on two grids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import input_at, is_standard
from edgewright.compiler.quantization.grid import Grid
from edgewright.compiler.quantization.quantized_op import is_constant

_INT8 = {ir.DataType.INT8: "int8", ir.DataType.UINT8: "uint8"}


@dataclass(frozen=True, eq=False)
class OwnPair:
    """A QuantizeLinear on a tensor and the DequantizeLinear behind it."""

    grid: Grid
    quantize: ir.Node
    dequantize: ir.Node


def own_pair(value: ir.Value) -> OwnPair | None:
    """The 8-bit pair with one constant scale that ``value`` has in the model as it came, None without one."""
    for quantize, index in value.uses():
        if index != 0 or not is_standard(quantize, "QuantizeLinear") or quantize.graph is not value.graph:
            continue
        grid = _grid(quantize)
        for dequantize, place in quantize.outputs[0].uses():
            if grid is None or place != 0 or not is_standard(dequantize, "DequantizeLinear"):
                continue
            other = _grid(dequantize)
            if other is not None and same_grid(grid, other) and dequantize.graph is quantize.graph:
                return OwnPair(grid, quantize, dequantize)
    return None


def same_grid(one: Grid, other: Grid) -> bool:
    """True when the two round alike."""
    return (
        one.dtype == other.dtype
        and np.array_equal(one.scale, other.scale)
        and np.array_equal(one.zero_point, other.zero_point)
    )


def _grid(node: ir.Node) -> Grid | None:
    """The grid of a Q or DQ; None where it has several scales, computed ones, or codes of another width."""
    scale, zero = input_at(node, 1), input_at(node, 2)
    if scale is None or not is_constant(scale) or (zero is not None and not is_constant(zero)):
        return None
    codes = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
    kind = (
        zero.dtype if zero is not None else ir.DataType.UINT8 if codes is None or codes.dtype is None else codes.dtype
    )
    assert scale.const_value is not None
    if kind not in _INT8 or scale.const_value.size != 1 or scale.const_value.dtype != ir.DataType.FLOAT:
        return None
    point = np.zeros((), np.int64)
    if zero is not None and zero.const_value is not None:
        point = zero.const_value.numpy().astype(np.int64).reshape(())
    return Grid(scale.const_value.numpy().reshape(()), point, _INT8[kind])
