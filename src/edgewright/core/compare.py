"""How far two answers are apart, in one number per tensor that means the same everywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType

import numpy as np

from edgewright.core.tensors import Array, Outputs, TensorSpec


def error(answer: Array, reference: Array, varying: Set[int] = frozenset()) -> float:
    """The largest difference relative to the largest magnitude of ``reference`` (at least 1e-6); 0 is equal.

    Both may be of any shape and type. For integers, booleans and strings it is the share of elements that differ.
    A different shape, or NaN and infinities at different places, is infinitely far; where the shapes differ in axes
    of ``varying`` alone, all of it differs and the error is 1.
    """
    if answer.ndim == reference.ndim and answer.shape != reference.shape:
        differing = {
            axis for axis, sizes in enumerate(zip(answer.shape, reference.shape, strict=True)) if len(set(sizes)) > 1
        }
        if differing <= varying:
            return 1.0
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


def worst_error(
    answers: Outputs, references: Outputs, varying: Mapping[str, Set[int]] = MappingProxyType({})
) -> tuple[str, float]:
    """The output that is furthest off, and by how much; a missing output is infinitely far.

    Args:
        answers: by output.
        references: by output.
        varying: output -> axes whose size may differ, see :func:`varying_axes`.

    Raises:
        ValueError: when there are no reference outputs.
    """
    errors = {
        name: error(answers[name], value, varying.get(name, frozenset())) if name in answers else float("inf")
        for name, value in references.items()
    }
    worst = max(errors, key=lambda name: errors[name])
    return worst, errors[worst]


def varying_axes(inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> dict[str, frozenset[int]]:
    """For each output the axes whose size the numbers decide: open, and not called like an axis of an input.

    A model that chooses boxes has such: another number of them is another answer, and no broken engine.

    >>> x = TensorSpec("x", "float32", ("N", 3))
    >>> varying_axes([x], [TensorSpec("boxes", "float32", ("N", "K", 4))])
    {'boxes': frozenset({1})}
    """
    given = {dim for spec in inputs for dim in spec.shape or () if isinstance(dim, str)}
    return {
        spec.name: frozenset(
            axis for axis, dim in enumerate(spec.shape or ()) if not isinstance(dim, int) and dim not in given
        )
        for spec in outputs
    }
