"""How far two answers are apart, in one number per tensor that means the same everywhere."""

from __future__ import annotations

import numpy as np

from edgewright.core.tensors import Array, Outputs


def error(answer: Array, reference: Array) -> float:
    """The largest difference relative to the largest magnitude of ``reference`` (at least 1e-6); 0 is equal.

    Both may be of any shape and type. For integers, booleans and strings it is the share of elements that differ.
    A different shape, or NaN and infinities at different places, is infinitely far.
    """
    if answer.shape != reference.shape:
        return float("inf")
    if answer.size == 0:
        return 0.0
    if reference.dtype.kind not in "fVc" or answer.dtype.kind not in "fVc":
        return float(np.mean(answer != reference))
    ours, theirs = answer.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(theirs)
    if not np.array_equal(finite, np.isfinite(ours)):
        return float("inf")
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = max(float(np.abs(theirs[finite]).max()), 1e-6)
    return float(np.abs(ours[finite] - theirs[finite]).max()) / scale


def worst_error(answers: Outputs, references: Outputs) -> tuple[str, float]:
    """The output that is furthest off, and by how much; a missing output is infinitely far.

    Raises:
        ValueError: when there are no reference outputs.
    """
    errors = {
        name: error(answers[name], value) if name in answers else float("inf") for name, value in references.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    return worst, errors[worst]
