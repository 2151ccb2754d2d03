"""From what a tensor was seen to hold to the grid it is quantised on."""

from __future__ import annotations

from typing import Literal

import numpy as np

from edgewright.compiler.quantization.calibration import Observation
from edgewright.compiler.quantization.grid import FLOAT8, LIMITS, Grid, grid_over

Method = Literal["minmax", "percentile", "mse"]

_SHRINK = np.linspace(1.0, 0.1, 46)
"""Shares of the full range that the search for the least squared error tries on each side."""


def choose_grid(
    observation: Observation,
    dtype: str,
    symmetric: bool,
    method: Method,
    percentile: float = 99.99,
    *,
    scales: str = "float32",
) -> Grid:
    """The grid for a tensor that was seen as ``observation``.

    Args:
        observation: from calibration.
        dtype: ``uint8``, ``int8`` or ``float8e4m3fn``.
        symmetric: zero point in the middle.
        method: ``minmax`` spans all that was seen; ``percentile`` cuts both tails; ``mse`` cuts where the squared
            error over the histogram, rounding and clipping together, is least. Codes in float8 are as fine for small
            values whatever the ends: there it spans all.
        percentile: of the distribution, for that method; 99.99 cuts 0.005 % at each end.
        scales: the type the scale will be written in; see :func:`written`.
    """
    low, high = observation.minimum, observation.maximum
    if observation.counts.sum() == 0:
        return grid_over(low, high, dtype, symmetric, scales)
    if method == "percentile":
        low, high = _percentiles(observation, percentile)
    elif method == "mse" and dtype != FLOAT8:
        low, high = _least_error(observation, dtype, symmetric)
    return grid_over(low, high, dtype, symmetric, scales)


def _percentiles(observation: Observation, percentile: float) -> tuple[float, float]:
    tail = (100.0 - percentile) / 200.0
    counts = observation.counts.astype(np.float64)
    # Exact zeros belong to the distribution too: they sit between the two halves of the histogram.
    middle = counts.size // 2
    below = np.concatenate([np.cumsum(counts[:middle]), observation.zeros + np.cumsum(counts)[middle:]])
    total = counts.sum() + observation.zeros
    edges = (np.arange(counts.size + 1) - middle) * observation.width
    low = float(edges[np.searchsorted(below, tail * total, side="right")])
    high = float(edges[np.searchsorted(below, (1.0 - tail) * total, side="left") + 1])
    return max(low, observation.minimum), min(high, observation.maximum)


def _least_error(observation: Observation, dtype: str, symmetric: bool) -> tuple[float, float]:
    low, high = min(observation.minimum, 0.0), max(observation.maximum, 0.0)
    if symmetric:
        reach = max(-low, high)
        ends = np.stack([-reach * _SHRINK, reach * _SHRINK], axis=1)
        best = ends[np.argmin(_errors(observation, ends, dtype))]
        return float(best[0]), float(best[1])
    # One end at a time, twice: the error is close to separable in the two ends.
    for _ in range(2):
        for side in (0, 1):
            ends = np.repeat([[low, high]], _SHRINK.size, axis=0)
            full = min(observation.minimum, 0.0) if side == 0 else max(observation.maximum, 0.0)
            ends[:, side] = full * _SHRINK
            best = ends[np.argmin(_errors(observation, ends, dtype))]
            low, high = float(best[0]), float(best[1])
    return low, high


def _errors(
    observation: Observation, ends: np.ndarray[tuple[int, int], np.dtype[np.float64]], dtype: str
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Mean squared error over the histogram for each row (low, high) of ``ends``."""
    filled = np.flatnonzero(observation.counts)
    values, weights = observation.centres[filled], observation.counts[filled].astype(np.float64)
    first, last = LIMITS[dtype]
    scale = np.maximum(ends[:, 1] - ends[:, 0], 1e-300)[:, None] / (last - first)
    zero = np.rint(first - ends[:, :1] / scale)
    codes = np.clip(np.rint(values / scale) + zero, first, last)
    error = (codes - zero) * scale - values
    result: np.ndarray[tuple[int], np.dtype[np.float64]] = (error * error) @ weights / weights.sum()
    return result
