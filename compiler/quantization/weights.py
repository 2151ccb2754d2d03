"""Weights as 8-bit codes with a scale per channel, and biases as int32 codes on the accumulator's own grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.compiler.quantization.grid import FLOAT8, LIMITS, FloatArray, Grid, written

BIAS_REACH = float(1 << 30)
"""Largest bias code: half of int32, so that adding the products of a layer does not overflow."""
SMALLEST_WEIGHT_SCALE = 2.0**-120
"""A normal float32 number; weights below 127 of it are nothing."""
_DEAD_BIAS_CODE = float(1 << 24)
"""The bias code aimed at where a channel has no weights: float32's own precision."""


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """Codes and the grid they are on."""

    codes: npt.NDArray[np.generic]
    grid: Grid

    @property
    def reals(self) -> FloatArray:
        """What the codes stand for."""
        return self.grid.reals(self.codes)


def quantize_weight(
    weight: FloatArray,
    axis: int | None,
    *,
    bits: int = 8,
    clip: bool = False,
    floor: npt.NDArray[np.float64] | None = None,
    dtype: str = "int8",
    scales: str = "float32",
) -> QuantizedTensor:
    """Symmetric codes of ``weight``: int8 in [-127, 127] or, with 7 bits, in [-63, 63]; float8 in [-448, 448].

    Args:
        weight: float32, any shape, finite.
        axis: each index along it has a scale of its own; None for one scale.
        bits: 7 where sums of two u8 x s8 products must fit 16 bits.
        clip: search for the scale with the least squared error instead of spanning the largest weight.
        floor: the smallest scale, for each channel or for all; see :func:`bias_floor`.
        dtype: ``int8`` or ``float8e4m3fn``.
        scales: the type the scales will be written in; see :func:`written`.
    """
    most = LIMITS[FLOAT8][1] if dtype == FLOAT8 else 2 ** (bits - 1) - 1
    others = tuple(index for index in range(weight.ndim) if index != axis)
    reach = np.abs(weight).max(axis=others) if axis is not None else np.abs(weight).max(initial=0.0)
    scale = np.asarray(reach, np.float64) / most
    if clip and dtype != FLOAT8:
        scale = scale * _best_shrink(weight, scale, axis, most)
    if floor is not None:
        scale = np.maximum(scale, floor if axis is not None else floor.max(initial=0.0))
    scale = written(np.maximum(scale, SMALLEST_WEIGHT_SCALE), scales)
    grid = Grid(scale, np.zeros(scale.shape, np.int64), dtype, axis)
    if dtype == FLOAT8:
        return QuantizedTensor(grid.codes(weight), grid)
    shaped = scale.astype(np.float64).reshape([-1 if index == axis else 1 for index in range(weight.ndim)])
    codes = np.clip(np.rint(weight / shaped), -most, most).astype(np.int8)
    return QuantizedTensor(codes, grid)


def bias_floor(bias: FloatArray, input_scale: float, weight_reach: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The smallest weight scale per channel with which ``bias`` fits int32 on the grid ``input_scale * weight_scale``.

    Channels whose weights are all zero get the scale that keeps their bias to float32's precision instead.
    """
    code = np.where(weight_reach > 0.0, BIAS_REACH, _DEAD_BIAS_CODE)
    return np.abs(bias.astype(np.float64)) / (input_scale * code)


def quantize_bias(bias: FloatArray, input_scale: float, weight_grid: Grid) -> QuantizedTensor:
    """``bias`` as int32 codes with scale ``input_scale * weight_scale``, which is the accumulator's.

    Args:
        bias: float32 of shape (channels,).
        input_scale: of the activation's grid.
        weight_grid: from :func:`quantize_weight` with this bias's floor; per channel or per tensor.
    """
    scale = (np.float32(input_scale) * weight_grid.scale).astype(np.float32)
    grid = Grid(scale, np.zeros(scale.shape, np.int64), "int32", 0 if scale.ndim else None)
    return QuantizedTensor(grid.codes(bias), grid)


def _best_shrink(
    weight: FloatArray, scale: npt.NDArray[np.float64], axis: int | None, most: int
) -> npt.NDArray[np.float64]:
    rows = (
        np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1) if axis is not None else weight.reshape(1, -1)
    ).astype(np.float64)
    steps = np.maximum(np.atleast_1d(scale), SMALLEST_WEIGHT_SCALE)[:, None]
    best = np.ones(len(rows))
    least = np.full(len(rows), np.inf)
    for shrink in np.linspace(1.0, 0.6, 21):
        step = steps * shrink
        error = (np.clip(np.rint(rows / step), -most, most) * step - rows) ** 2
        total = error.sum(axis=1)
        better = total < least
        best[better], least[better] = shrink, total[better]
    return best.reshape(scale.shape)
