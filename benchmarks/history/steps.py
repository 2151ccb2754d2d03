"""Lasting changes in a noisy series with few points; advisory, never a verdict.

Recursive binary segmentation (Scott & Knott 1974; Vostrikova 1981). For a stretch of n values, clipped at 3 robust
standard deviations from their median, the statistic is the largest standardised difference of means over the splits
that leave ``SHORTEST`` values on each side,

    max_k |sum_{i<=k} (x_i - mean)| / sqrt(k (n - k) / n),

and p is its rank among random permutations of the stretch (exact for exchangeable values, whatever their
distribution: Phipson & Smyth 2010 for the + 1). Clipping is what makes a single outlier harmless; it does not depend
on the order, so the test stays exact. A stretch is cut where p <= alpha, and its halves are tested in turn; in the end
each cut is tested once more between its neighbours. A series without a step is cut with a probability of at most
alpha. Values that depend on their predecessors (slow drift) are not exchangeable: drift is told as steps.

Our own sixty lines rather than ``ruptures``: that needs scipy, takes a penalty instead of an error rate, and a
history must be readable where only numpy is installed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

SHORTEST = 3
"""Values on each side of a step: fewer are outliers until more of them come."""
_PERMUTATIONS = 1999
_FIRST_LOOK = 100
"""Permutations that are tried first: they settle most stretches without a step."""
_AT_ONCE = 200_000
"""Values that are permuted at a time, at most."""
_CLIP = 3.0
_MAD_TO_SD = 1.4826
_Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """A lasting change between two points."""

    index: int
    """Of the first value after it."""
    before: float
    """The median since the step before."""
    after: float
    """The median until the next step."""
    change: float
    """``(after - before) / abs(before)``; infinite when ``before`` is 0."""
    p: float
    """The chance of a split as clear as this in values without a step; 0 where there is no noise."""


def detect_steps(values: Sequence[float], *, alpha: float = 0.01, seed: int = 0) -> Sequence[Step]:
    """The steps of ``values``, oldest first; the same values give the same steps.

    Ten values are about the fewest in which a step can be told from chance at 1 %.

    Args:
        values: finite, in the order of time, of one machine.
        alpha: the probability of a false alarm in a series without a step.
        seed: of the permutations.

    >>> [step.index for step in detect_steps([1.00, 1.01] * 6 + [1.05, 1.06] * 6)]
    [12]
    """
    series = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    cuts = sorted(_cuts(series, 0, len(series), alpha, rng))
    # A cut was placed while others still stood in its stretch: what is not clear between its neighbours goes.
    while len(found := _tested(series, cuts, alpha, rng)) < len(cuts):
        cuts = sorted(found)
    return _told(series, found)


def exact_steps(values: Sequence[float]) -> Sequence[Step]:
    """Every change of a figure that has no noise.

    >>> [(step.index, step.change) for step in exact_steps([100, 100, 150])]
    [(2, 0.5)]
    """
    series = np.asarray(values, np.float64)
    return _told(series, {int(index) + 1: 0.0 for index in np.flatnonzero(np.diff(series))})


def _cuts(series: _Values, low: int, high: int, alpha: float, rng: np.random.Generator) -> list[int]:
    found = []
    open_stretches = [(low, high)]
    while open_stretches:
        start, end = open_stretches.pop()
        split, p = _split(series[start:end], alpha, rng)
        if p <= alpha:
            found.append(start + split)
            open_stretches += [(start, start + split), (start + split, end)]
    return found


def _tested(series: _Values, cuts: Sequence[int], alpha: float, rng: np.random.Generator) -> dict[int, float]:
    """Each cut where it is clearest between its neighbours, with its p; without those that are not clear there."""
    found = {}
    ends = [0, *cuts, len(series)]
    for low, high in zip(ends[:-2], ends[2:], strict=True):
        split, p = _split(series[low:high], alpha, rng)
        if p <= alpha:
            found[low + split] = p
    return found


def _split(stretch: _Values, alpha: float, rng: np.random.Generator) -> tuple[int, float]:
    """The clearest split of a stretch, and its p; 1 for one that is too short or where p exceeds ``alpha`` by far."""
    if len(stretch) < 2 * SHORTEST:
        return 0, 1.0
    clipped = _clipped(stretch)
    found = _differences(clipped[None])[0]
    split = int(found.argmax())
    if found[split] <= 0:
        return 0, 1.0
    # Sums in another order differ in the last bits; equal arrangements must count as equal.
    bar = float(found[split]) * (1 - 1e-9)
    as_clear, done = 0, 0
    while done < _PERMUTATIONS:
        rows = min(max(_AT_ONCE // len(stretch), 1), max(4 * done, _FIRST_LOOK), _PERMUTATIONS - done)
        shuffled = rng.permuted(np.tile(clipped, (rows, 1)), axis=1)
        as_clear += int((_differences(shuffled).max(1) >= bar).sum())
        done += rows
        if as_clear + 1 > alpha * (_PERMUTATIONS + 1):
            return 0, 1.0
    return split + SHORTEST, (as_clear + 1) / (_PERMUTATIONS + 1)


def _differences(rows: _Values) -> _Values:
    """``(rows, splits)``: the standardised difference of means at each allowed split of each row."""
    n = rows.shape[1]
    before = np.arange(SHORTEST, n - SHORTEST + 1)
    sums = np.cumsum(rows, axis=1)[:, before - 1]
    return np.asarray(np.abs(sums) / np.sqrt(before * (n - before) / n))


def _clipped(stretch: _Values) -> _Values:
    """The stretch about its mean, clipped; where more than half are equal, only the side each lies on is left."""
    away = stretch - np.median(stretch)
    reach = _CLIP * _MAD_TO_SD * float(np.median(np.abs(away)))
    clipped = np.clip(away / reach, -1, 1) if reach > 0 else np.sign(away)
    return np.asarray(clipped - clipped.mean())


def _told(series: _Values, cuts: dict[int, float]) -> list[Step]:
    ends = [0, *sorted(cuts), len(series)]
    levels = [float(np.median(series[low:high])) for low, high in pairwise(ends)] if cuts else []
    steps = []
    for index, (before, after) in zip(sorted(cuts), pairwise(levels), strict=True):
        difference = after - before
        change = difference / abs(before) if before else math.copysign(math.inf, difference)
        steps.append(Step(index, before, after, change, cuts[index]))
    return steps
