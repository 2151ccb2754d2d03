"""What narrowing one group alone does to the answers, label-free: each width is cut, made up for, and run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgewright.compiler.pruning.answers import Batches, Error, answers_of, output_error
from edgewright.compiler.pruning.compensate import Moments, compensate
from edgewright.compiler.pruning.structure import Structure

if TYPE_CHECKING:
    from torch import nn

Order: TypeAlias = Mapping[str, Sequence[int]]
"""Group -> its units, the least important first."""
_SHARES = (0.875, 0.75, 0.5, 0.25)
"""Of a group's width: where its damage is measured, besides its narrowest width."""


def order_of(scores: Mapping[str, np.ndarray]) -> Order:
    """Units by rising importance; ties go by their number."""
    return {name: [int(unit) for unit in np.argsort(values, kind="stable")] for name, values in scores.items()}


def narrowed(
    module: nn.Module, structure: Structure, removed: Mapping[str, Sequence[int]], moments: Mapping[str, Moments] | None
) -> nn.Module:
    """A copy of ``module`` without ``removed``, made up for where there are ``moments``."""
    import copy

    from edgewright.compiler.pruning.cutting import take_away

    smaller = copy.deepcopy(module)
    if moments:
        compensate(smaller, structure.plans, removed, moments)
    take_away(smaller, structure.plans, removed)
    return smaller


def points(widths: Sequence[int]) -> tuple[int, ...]:
    """Which of ``widths`` (falling, the first is the present one) are measured.

    >>> points((64, 56, 48, 40, 32, 24, 16, 8))
    (56, 48, 32, 16, 8)
    """
    if len(widths) < 2:
        return ()
    nearest = {min(widths[1:], key=lambda width: (abs(width - share * widths[0]), width)) for share in _SHARES}
    return tuple(sorted({*nearest, widths[-1]}, reverse=True))


def damages(
    module: nn.Module,
    structure: Structure,
    order: Order,
    *,
    widths: Mapping[str, Sequence[int]],
    batches: Batches,
    moments: Mapping[str, Moments] | None,
    error: Error = output_error,
    progress: Callable[[float, str], None] = lambda _done, _text: None,
) -> dict[str, tuple[float, ...]]:
    """By group, the error of the answers at each of its ``widths``; measured at some, straight lines between.

    Args:
        widths: falling, the first being the width the group has; only groups named here are tried.
        moments: of the consumers' inputs; None to cut without making up for it.

    Returns:
        As long as ``widths``, from 0 upwards, never falling.
    """
    reference = answers_of(module, batches)
    found: dict[str, tuple[float, ...]] = {}
    for done, (name, steps) in enumerate(widths.items()):
        progress(done / len(widths), name)
        at, harm = [steps[0]], [0.0]
        for width in points(steps):
            smaller = narrowed(module, structure, {name: order[name][: steps[0] - width]}, moments)
            at.append(width)
            harm.append(max(error(reference, answers_of(smaller, batches)), harm[-1]))
        found[name] = tuple(
            float(value) for value in np.interp([-width for width in steps], [-one for one in at], harm)
        )
    return found
