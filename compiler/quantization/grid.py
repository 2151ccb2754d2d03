"""The affine grid: which real number each 8-bit code stands for, ``real = scale * (code - zero_point)``.

The formula is that of ONNX's QuantizeLinear: ``code = saturate(round_half_even(real / scale) + zero_point)``. Codes in
float8 are themselves floating-point numbers, rounded to their own type, with a zero point of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

FloatArray = npt.NDArray[np.float32]

SMALLEST_SCALE = 2.0**-100
"""An activation's grid is never finer: far from what float32 cannot hold, with room for a weight's scale."""
SMALLEST_PRODUCT = 2.0**-124
"""Input scale times weight scale, the accumulator's own, is never smaller."""
LARGEST_MAGNITUDE = 1e18
"""Beyond this a range is no activation but a mask or an overflow; products of two such scales stay finite."""

FLOAT8 = "float8e4m3fn"
LIMITS = {"uint8": (0, 255), "int8": (-128, 127), "int32": (-(2**31), 2**31 - 1), FLOAT8: (-448, 448)}
"""Lowest and highest code. That of float8 is from the ONNX documentation of the type, E4M3FN."""
_SMALLEST_FLOAT8 = 2.0**-9
_NUMPY: dict[str, npt.DTypeLike] = {
    "uint8": np.uint8,
    "int8": np.int8,
    "int32": np.int32,
    FLOAT8: ir.DataType.FLOAT8E4M3FN.numpy(),
}
SCALE_TYPES = {"float32": 0.0, "float16": 2.0**-20, "bfloat16": SMALLEST_SCALE}
"""The types a scale may be written in, with the smallest scale that is: float16 has 2**-24 and nothing below it, and
what is far above that is still rounded by little."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Scales and zero points of one tensor: one pair, or one per index of ``axis``."""

    scale: FloatArray
    """Shape ``()``, or ``(channels,)`` with an axis."""
    zero_point: npt.NDArray[np.int64]
    """Of the same shape; codes, not reals."""
    dtype: str
    """``uint8``, ``int8``, ``int32`` or ``float8e4m3fn``."""
    axis: int | None = None

    @property
    def low(self) -> float:
        """The smallest real number of a per-tensor grid."""
        return float(self.scale) * (LIMITS[self.dtype][0] - int(self.zero_point))

    @property
    def high(self) -> float:
        """The largest real number of a per-tensor grid."""
        return float(self.scale) * (LIMITS[self.dtype][1] - int(self.zero_point))

    @property
    def finest(self) -> float:
        """Values of a per-tensor grid below this magnitude become zero."""
        return float(self.scale) * (_SMALLEST_FLOAT8 if self.dtype == FLOAT8 else 1.0) / 2

    def codes(self, real: npt.NDArray[np.floating]) -> npt.NDArray[np.generic]:
        """The codes of ``real``, saturated, in this grid's element type."""
        scale, zero = self._broadcast(real.ndim)
        low, high = LIMITS[self.dtype]
        steps = real / scale if self.dtype == FLOAT8 else np.rint(real / scale) + zero
        return np.clip(steps, low, high).astype(_NUMPY[self.dtype])

    def reals(self, codes: npt.NDArray[np.generic]) -> FloatArray:
        """What ``codes`` stand for, float32."""
        scale, zero = self._broadcast(codes.ndim)
        steps = codes.astype(np.float64) if self.dtype == FLOAT8 else codes.astype(np.int64) - zero
        return np.asarray(steps * scale, np.float32)

    def rounded(self, real: npt.NDArray[np.floating]) -> FloatArray:
        """``real`` after a trip to codes and back."""
        return self.reals(self.codes(real))

    def zero_point_array(self) -> npt.NDArray[np.generic]:
        """The zero points in the grid's element type, as a Q/DQ node takes them."""
        return self.zero_point.astype(_NUMPY[self.dtype])

    def clamps(self, low: float, high: float) -> bool:
        """True when clamping to [low, high] before quantising changes no code: the grid's own ends do it."""
        ends = LIMITS[self.dtype]
        scale, zero = float(self.scale), int(self.zero_point)
        below = low == -np.inf or np.rint(low / scale) + zero <= ends[0]
        above = high == np.inf or np.rint(high / scale) + zero >= ends[1]
        return bool(below and above)

    def _broadcast(self, rank: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        if self.axis is None:
            return self.scale.astype(np.float64), self.zero_point
        shape = [1] * rank
        shape[self.axis] = -1
        return self.scale.astype(np.float64).reshape(shape), self.zero_point.reshape(shape)


def grid_over(low: float, high: float, dtype: str, symmetric: bool, scales: str = "float32") -> Grid:
    """The grid whose codes span [low, high] widened to contain zero, which is always one of its reals.

    Args:
        low: smallest real number to represent.
        high: largest.
        dtype: ``uint8``, ``int8`` or ``float8e4m3fn``.
        symmetric: zero point in the middle (int8: 0, uint8: 128) and both ends equally far from zero.
        scales: the type its scale will be written in; see :func:`written`.
    """
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    first, last = LIMITS[dtype]
    if symmetric:
        # The lowest code of int8 (-128) stays unused, so that the grid is the same on both sides of zero.
        zero = (first + last + 1) // 2
        scale = _usable_scale(max(-low, high) / (last - zero), scales)
    else:
        scale = _usable_scale((high - low) / (last - first), scales)
        zero = int(np.clip(np.rint(first - low / float(scale)), first, last))
    return Grid(np.asarray(scale, np.float32), np.asarray(zero, np.int64), dtype)


def written(scale: npt.NDArray[np.floating], kind: str) -> FloatArray:
    """``scale`` as numbers that ``kind`` represents, rounded up so that no code clips, in float32.

    What is larger than any number of ``kind`` is left as it is: nothing that needs it can be written in ``kind``.
    """
    if kind == "float32":
        return np.asarray(scale, np.float32)
    wide = np.maximum(np.asarray(scale, np.float64), SCALE_TYPES[kind])
    with np.errstate(over="ignore"):
        near = wide.astype(ir.DataType[kind.upper()].numpy())
        above = np.nextafter(near, near.dtype.type(np.inf)).astype(np.float64)
    result = np.where(near.astype(np.float64) < wide, above, near.astype(np.float64))
    return np.asarray(np.where(np.isfinite(result), result, wide), np.float32)


def _usable_scale(scale: float, kind: str) -> np.float32:
    """``scale`` as float32, never zero, denormal or so small that a product with another one would be."""
    return np.float32(written(np.asarray(max(scale, SMALLEST_SCALE)), kind))
