"""Cosine: how closely the compiled model's outputs point where the original's do (fidelity).

Per sample and output, with both flattened: sum(a b) / sqrt(sum(a^2) sum(b^2)); a sample's score is the mean over its
floating-point outputs, where one with another number of rows (of boxes, say) counts 0. Entries that are the same
infinity or NaN in both (a masked score) are left out. An output of a single number has no direction: it scores
max(0, 1 - |a - b| / rms(b)), with the root mean square over all samples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric, mean
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import Array, Outputs

_BROKEN = 0.0
"""The score of an output that is not finite where the original's is: it resembles nothing."""


class Cosine(Metric):
    """-1 to 1; one score per inference. Integer and text outputs are not looked at."""

    name = "cosine"
    compares_to: Literal["labels", "original"] = "original"

    def __init__(self) -> None:
        self._directions: list[list[float]] = []
        self._numbers: dict[str, list[tuple[float, float]]] = {}

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs and the original's."""
        if not isinstance(expected, dict):
            raise TypeError("cosine compares with the original's outputs, not with labels")
        floating = [name for name, array in expected.items() if array.dtype.kind in "fV"]
        if not floating:
            raise UsageError("the model has no floating-point output for cosine", "Use --metric agreement.")
        directions = []
        for name in floating:
            ours, theirs = _pair(outputs, expected, name)
            if ours.shape != theirs.shape:
                directions.append(_BROKEN)
            elif ours.size == 1:
                self._numbers.setdefault(name, []).append((float(ours[0]), float(theirs[0])))
            else:
                directions.append(_cosine(ours, theirs))
        self._directions.append(directions)

    def compute(self) -> float:
        """The mean over samples."""
        return mean(self.per_sample(), self.name)

    def per_sample(self) -> npt.NDArray[np.float64]:
        """The scores, in the order seen."""
        columns = [_closeness(np.array(pairs)) for pairs in self._numbers.values()]
        if any(len(column) != len(self._directions) for column in columns):
            raise BadInputError(
                "an output is a single number for some samples and more for others", "Use fixed shapes."
            )
        rows = [[*row, *(column[i] for column in columns)] for i, row in enumerate(self._directions)]
        return np.array([np.mean(row) for row in rows])


def _pair(outputs: Outputs, expected: Outputs, name: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if name not in outputs:
        raise BadInputError(f"output '{name}' of the original is missing", f"There are {', '.join(outputs)}.")
    ours, theirs = outputs[name], expected[name]
    if ours.ndim != theirs.ndim:
        raise BadInputError(f"output '{name}' has shape {ours.shape}, the original's has {theirs.shape}")
    return ours.astype(np.float64).reshape(-1), theirs.astype(np.float64).reshape(-1)


def _cosine(ours: npt.NDArray[np.float64], theirs: npt.NDArray[np.float64]) -> float:
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    kept = np.isfinite(ours) & np.isfinite(theirs)
    if not (kept | same).all():
        return _BROKEN
    ours, theirs = ours[kept], theirs[kept]
    largest = [float(np.abs(one).max(initial=0)) for one in (ours, theirs)]
    if 0 in largest:
        return 1.0 if largest == [0, 0] else _BROKEN
    # Each is scaled before squaring, so that neither 1e200 overflows nor 1e-200 vanishes.
    ours, theirs = ours / largest[0], theirs / largest[1]
    return float(np.clip((ours @ theirs) / np.sqrt((ours @ ours) * (theirs @ theirs)), -1, 1))


def _closeness(pairs: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``(samples, 2)`` of ours and the original's -> a score per sample."""
    ours, theirs = pairs.T
    finite = np.isfinite(theirs)
    scale = float(np.sqrt(np.mean(theirs[finite] ** 2))) if finite.any() else 0.0
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        close = np.clip(1 - np.abs(ours - theirs) / scale, 0, 1)
    return np.where(same, 1.0, np.where(np.isfinite(close), close, _BROKEN))
