"""Slower than it was in another session? What the run medians of two sessions can say, and how little that is.

Two sessions differ in more than chance: in the machine's temperature, its other work, its memory's layout. Nothing
within either session shows by how much, so no test of their runs can know it; run one after the other, two arms without
any difference make a test at 1 % alarm in every third session. So a slowdown has to be beyond what was agreed on as a
difference between sessions (``allowance``), and a pass claims that much less. ``--against`` interleaves, and has
neither weakness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.gate.latency import TOO_SLOW
from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.statistics import Samples

ALPHA = 0.01
_TAIL = 0.025
_ROUNDING = 12
"""Decimals of a logarithm that are kept, so that equal ratios are equal."""


@dataclass(frozen=True)
class UnpairedTest:
    """What the runs of two sessions say of one subject's latency."""

    runs: tuple[int, int]
    """New and stored."""
    ratio: float
    """Hodges-Lehmann estimate of new / stored: the median of all ratios of a new run to a stored one."""
    ci95: tuple[float, float] | None
    """Of the difference between these runs alone; None for too few of them."""
    p: float
    """One-sided, of H0: the true ratio is at most ``(1 + delta) * (1 + allowance)``."""
    delta: float
    allowance: float

    @property
    def slower_than(self) -> float:
        """The measured ratio from which there is a regression: what was agreed on, beyond what sessions differ."""
        return (1 + self.delta) * (1 + self.allowance)

    @property
    def most(self) -> float:
        """The slowdown, as a share, that a pass rules out."""
        return max(TOO_SLOW, self.delta) + self.allowance

    @property
    def can_reject(self) -> bool:
        """Whether so few runs can be significant at all."""
        return 1 / math.comb(sum(self.runs), self.runs[0]) <= ALPHA

    def verdict(self, *, rejected: bool) -> Verdict:
        """``regressed`` is what the test rejected; ``pass`` where even an unluckily fast session rules out ``most``."""
        if rejected:
            return "regressed"
        upper = math.inf if self.ci95 is None else self.ci95[1]
        return "pass" if upper * (1 + self.allowance) < 1 + self.most else "inconclusive"


def unpaired_test(new_ns: Samples, stored_ns: Samples, delta: float, allowance: float) -> UnpairedTest:
    """Whether ``new`` is slower than ``stored`` by more than ``delta`` and the difference between sessions.

    The exact rank-sum test of Wilcoxon 1945 and Mann & Whitney 1947 on the logarithms of run medians, and the interval
    that inverts it (Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, sections 4.1 and 4.3). A tie counts
    against a regression.

    Raises:
        ValueError: there are no positive, finite figures in either.
    """
    new, stored = _logs(new_ns), _logs(stored_ns)
    differences = np.sort(np.round(np.subtract.outer(new, stored), _ROUNDING), axis=None)
    bound = round(math.log1p(delta) + math.log1p(allowance), _ROUNDING)
    shares = rank_sum_shares(len(new), len(stored))
    below = np.cumsum(shares)
    above = int((differences > bound).sum())
    outside = int(np.searchsorted(below, _TAIL, side="right"))
    interval = None
    if outside >= 1:
        interval = math.exp(differences[outside - 1]), math.exp(differences[-outside])
    return UnpairedTest(
        runs=(len(new), len(stored)),
        ratio=math.exp(float(np.median(differences))),
        ci95=interval,
        p=min(1.0, math.fsum(shares[above:])),
        delta=delta,
        allowance=allowance,
    )


def rank_sum_shares(first: int, second: int) -> npt.NDArray[np.float64]:
    """P(U = u) for u = 0 ... first * second, when both samples are from one distribution.

    The counts are the coefficients of the Gaussian binomial, the product of (1 - q^(second + i)) / (1 - q^i).

    >>> rank_sum_shares(2, 1).tolist() == [1 / 3] * 3
    True
    """
    counts = [1] + [0] * (first * second)
    for i in range(1, first + 1):
        for u in range(first * second, second + i - 1, -1):
            counts[u] -= counts[u - second - i]
        for u in range(i, first * second + 1):
            counts[u] += counts[u - i]
    total = math.comb(first + second, first)
    return np.array([count / total for count in counts])


def _logs(figures: Samples) -> npt.NDArray[np.float64]:
    values = np.asarray(figures, np.float64)
    if not len(values) or not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("no figures, or one that is no positive number")
    return np.log(values)
