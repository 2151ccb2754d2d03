"""How much two shares differ that were counted on the same samples: exact one-sided bounds from discordant pairs.

Of n samples one model is right and the other wrong on ``gained`` and, the other way, on ``lost``; the difference of
their shares right is estimated by (gained - lost) / n. Only those discordant pairs say anything (McNemar 1947), and
often they are few, where an interval built on a normal distribution does not hold what it promises.

The bound here is Buehler's (1957; Lloyd & Kabaila 2003): order all outcomes (gained, lost) by a statistic S that is
good evidence for a large difference, and take the smallest difference under which what was seen, or anything ordered
above it, has a probability of more than alpha for some share of discordant pairs psi::

    lower = inf {d : sup over psi of P(S >= s; d, psi) > alpha}

By construction it is at or below the truth with at least 1 - alpha, whatever psi, and no bound with that property which
follows the order of S is larger. S is the bound of Agresti & Min (2005), d~ - 1.645 se with half an observation added
to each of the four cells, which is nearly the answer already, so that exactness costs little. S is larger for a sample
gained than for the same sample lost, so P grows with d at any psi and a bisection finds the infimum. The nuisance psi
is searched over its Clopper-Pearson interval alone, at the price of that interval's error, which is taken off alpha
(Berger & Boos 1994).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.statistics import clopper_pearson

ALPHA = 0.05
_NUISANCE = 0.0005
"""Of alpha, what the interval of psi may spend."""
_EXACT_UP_TO = 1000
"""Discordant pairs. With more the bound is Agresti & Min's, nearer to the estimate by some 3 % of its distance at most,
unless almost every sample is discordant."""
_Z = 1.6448536269514722
"""95 % of the normal distribution is below."""
_TAIL_SDS = 8.0
_GRID, _ZOOMS = 9, 5
_Floats = npt.NDArray[np.float64]


def lower_bound(gained: int, lost: int, n: int) -> float:
    """The exact lower 95 % bound of the difference of two shares, -1 to 1.

    The upper one is the negated lower one of ``lost, gained``.

    >>> round(lower_bound(0, 0, 300), 4), round(lower_bound(4, 9, 1000), 4)
    (-0.01, -0.012)

    Raises:
        ValueError: counts that cannot be.
    """
    if min(gained, lost) < 0 or gained + lost > n or n < 1:
        raise ValueError(f"{gained} gained and {lost} lost of {n}")
    if gained + lost > _EXACT_UP_TO:
        return max(-1.0, float(_agresti_min(np.float64(gained), np.float64(lost), n)))
    return _buehler(gained, lost, n)


def _agresti_min(
    gained: npt.NDArray[np.float64] | np.float64, lost: npt.NDArray[np.float64] | np.float64, n: int
) -> _Floats:
    """(b - c) / (n + 2) - z sqrt(b + c + 1 - (b - c)^2 / (n + 2)) / (n + 2), of b gained and c lost."""
    difference, discordant = gained - lost, gained + lost + 1
    return np.asarray((difference - _Z * np.sqrt(discordant - difference**2 / (n + 2))) / (n + 2))


class _Region:
    """All outcomes that speak for a difference as large as what was seen, near the discordant shares in question."""

    def __init__(self, gained: int, lost: int, n: int, shares: tuple[float, float]) -> None:
        low, high = (n * share for share in shares)
        fewest = max(0, math.floor(low - _TAIL_SDS * math.sqrt(low) - 1))
        most = min(n, math.ceil(high + _TAIL_SDS * math.sqrt(high) + 20))
        counts = np.arange(most + 1.0)
        together = counts[:, None] + counts
        b, c = (axis.astype(np.float64) for axis in np.nonzero((together >= fewest) & (together <= most)))
        seen = float(_agresti_min(np.float64(gained), np.float64(lost), n))
        above = _agresti_min(b, c, n) >= seen - 1e-12  # what was seen is in it, whatever the rounding
        self._gained, self._lost = b[above], c[above]
        self._same = n - self._gained - self._lost
        # n! / (n - b - c)! as a falling product, so that nothing is as long as n.
        falling = np.concatenate([[0.0], np.cumsum(np.log(n - np.arange(most)))])
        factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, most + 1)))])
        up, down = self._gained.astype(np.intp), self._lost.astype(np.intp)
        self._ways = falling[up + down] - factorial[up] - factorial[down]

    def probability(self, difference: float, share: float) -> float:
        """That a trinomial outcome falls into the region: ``difference`` p+ - p-, ``share`` p+ + p-."""
        up, down, same = (
            math.log(max(chance, 1e-300)) for chance in ((share + difference) / 2, (share - difference) / 2, 1 - share)
        )
        return float(np.exp(self._ways + self._gained * up + self._lost * down + self._same * same).sum())


@lru_cache(maxsize=256)
def _buehler(gained: int, lost: int, n: int) -> float:
    low, high = clopper_pearson(gained + lost, n, _NUISANCE / 2)
    region = _Region(gained, lost, n, (low, high))
    best, at = (gained - lost) / n, low
    for _ in range(_ZOOMS):
        grid = np.linspace(low, high, _GRID)
        for share in grid:
            found = _smallest(region, float(share), best)
            if found < best:
                best, at = found, float(share)
        step = float(grid[1] - grid[0])
        low, high = max(low, at - step), min(high, at + step)
    return best


def _smallest(region: _Region, share: float, below: float) -> float:
    """The smallest difference at this share of discordant pairs that is not rejected, or ``below`` if that is less."""
    level = ALPHA - _NUISANCE
    rejected, accepted = -share, min(below, share)
    if accepted <= rejected or region.probability(accepted, share) <= level:
        return below
    if region.probability(rejected, share) > level:
        return rejected
    while accepted - rejected > 1e-4 * max(abs(rejected), abs(accepted), 1e-9):
        middle = (rejected + accepted) / 2
        if region.probability(middle, share) > level:
            accepted = middle
        else:
            rejected = middle
    return rejected
