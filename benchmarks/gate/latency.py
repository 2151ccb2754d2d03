"""Has it become slower? A test on the paired run medians of fresh processes, at two fixed looks, with stated errors.

What is tested is H0: the true ratio new / base is at most ``1 + delta``. The unit is a pair of processes, one of each
arm, run next to one another: under H0 the logarithm of a pair's ratio is as likely to lie above ``log(1 + delta)`` as
below it by the same amount, which is all that the signed-rank test asks. It asks nothing of the distribution's tails,
and a drift of the machine, which falls on new and base in turn, makes it only more careful.

Two looks at alpha .004 and .006 falsely alarm with at most .004 + .006 = 1 % together, however they depend on one
another (Bonferroni over looks); within a look Holm's procedure holds that rate over all tests at once. The first look
decides only when it rejects everything, so what it rejects beside something open is not kept but tested again with all
pairs. Keeping it would not break the bound. There is nothing to keep, though: eight pairs cannot say less than
p = 1/256, which Holm with two tests or more would want below .004/2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.statistics import (
    Samples,
    hodges_lehmann,
    log_ratios,
    paired_ratio,
    sign_flip_shares,
    walsh_averages,
)


@dataclass(frozen=True)
class Look:
    """A moment, fixed beforehand, at which a session may be judged."""

    pairs: int
    """How many pairs of runs there are then, those of the looks before it among them."""
    alpha: float
    """The share of false alarms that it may spend."""

    def can_reject(self, tests: int) -> bool:
        """Whether so few pairs can be significant at all, the most extreme of ``tests`` having to pass alpha / tests.

        >>> [LOOKS[0].can_reject(tests) for tests in (1, 2)], LOOKS[1].can_reject(1000)
        ([True, False], True)
        """
        return 0.5**self.pairs <= self.alpha / tests


LOOKS = (Look(8, 0.004), Look(20, 0.006))
DELTA = 0.02
"""The slowdown, as a share, that nobody is to be woken for."""
TOO_SLOW = 0.05
"""The slowdown, as a share, that has to be ruled out before anything passes; or ``delta``, where that is larger."""

_POWER = 0.90
_SIMULATED = 4000
"""Sessions; a share of 90 % of them has a standard error of half a percent."""
_ROUNDING = 12
"""Decimals of a logarithm that are kept, so that equal ratios are equal: far finer than any clock."""


@dataclass(frozen=True)
class PairedTest:
    """What the pairs of one subject say of its latency."""

    pairs: int
    ratio: float
    """Hodges-Lehmann estimate of new / base."""
    ci95: tuple[float, float] | None
    """Two-sided; None for fewer than six pairs."""
    upper: float
    """The upper end of ``ci95``: the true ratio is above it with at most 2.5 %. Infinite without an interval."""
    p: float
    """One-sided, of H0: the true ratio is at most ``1 + delta``."""
    delta: float


def signed_rank_p(values: Samples) -> float:
    """The exact one-sided p of Wilcoxon's signed-rank test, of H1: the values lie above zero.

    P(W >= w) under fair signs, W being the sum of the ranks of positive values. Equal magnitudes have the mean of their
    ranks, and the distribution is counted with those (conditional on the ties; Hollander, Wolfe & Chicken,
    Nonparametric Statistical Methods, section 3.1). A zero counts as a negative value, of the smallest rank: with a
    fair coin for its sign the test would be exact, and the coin could only have made p smaller, so this is on the safe
    side. (Of one zero among otherwise distinct values it makes the same p as leaving it out.)

    >>> signed_rank_p([0.01, 0.02, 0.03]), signed_rank_p([0.0, 0.02, 0.03]), signed_rank_p([0.0, 0.0])
    (0.125, 0.25, 1.0)

    Raises:
        ValueError: there are no values, or one is not a number.
    """
    given = np.asarray(values, np.float64)
    if not len(given) or np.isnan(given).any():
        raise ValueError("no values, or one that is not a number")
    magnitudes = np.abs(given)
    ordered = np.sort(magnitudes)
    # Twice the mean rank is whole: the first rank of a group of ties plus the last.
    doubled = np.searchsorted(ordered, magnitudes, side="left") + 1 + np.searchsorted(ordered, magnitudes, side="right")
    shares = sign_flip_shares([int(rank) for rank in doubled])
    tail = math.fsum(shares[int(doubled[given > 0].sum()) :])
    return min(max(tail, math.ulp(0.0)), 1.0)


def paired_test(new_ns: Samples, base_ns: Samples, delta: float = DELTA) -> PairedTest:
    """Whether ``new`` is slower than ``base`` by more than ``delta``, from the run medians of pairs, in any unit.

    Raises:
        ValueError: they are not pairs of positive, finite figures, or there are none.
    """
    excess = log_ratios(new_ns, base_ns) - math.log1p(delta)
    ratio, interval = paired_ratio(new_ns, base_ns)
    return PairedTest(
        pairs=len(excess),
        ratio=ratio,
        ci95=interval,
        upper=math.inf if interval is None else interval[1],
        p=signed_rank_p(np.round(excess, _ROUNDING)),
        delta=delta,
    )


def holm(ps: Mapping[str, float], alpha: float) -> frozenset[str]:
    """The hypotheses rejected at family-wise error ``alpha``, whatever the dependence between them (Holm 1979).

    >>> sorted(holm({"a": 0.001, "b": 0.004, "c": 0.03, "d": 0.2}, 0.01))
    ['a']
    """
    ascending = sorted(ps, key=lambda name: ps[name])
    for index, name in enumerate(ascending):
        if ps[name] > alpha / (len(ascending) - index):
            return frozenset(ascending[:index])
    return frozenset(ps)


def judge(tests: Mapping[str, PairedTest], look: Look) -> Mapping[str, Verdict] | None:
    """The verdict on every subject, or None: go on to the next look.

    Before the last look there is a decision only when every test is rejected. At the last, ``regressed`` is what Holm
    rejects at the look's alpha; ``pass`` what it does not reject and whose upper bound is below ``1 + TOO_SLOW``; and
    all else is ``inconclusive``: noise is no reason to pass.
    """
    rejected = holm({name: test.p for name, test in tests.items()}, look.alpha)
    if look != LOOKS[-1] and len(rejected) < len(tests):
        return None
    return {name: _verdict(test, name in rejected) for name, test in tests.items()}


def minimum_detectable_effect(
    new_ns: Samples, base_ns: Samples, delta: float = DELTA, tests: int = 1, looks: Sequence[Look] = LOOKS
) -> float | None:
    """The slowdown, as a share, that a session like this one calls ``regressed`` with a probability of 90 %.

    A session like this one: the looks for which it has pairs enough, with pairs drawn afresh (fixed seed) from the
    recorded ones' residuals round their Hodges-Lehmann estimate. A residual's sign is drawn too, since under
    interleaving either arm could have been the slow one, and residuals are widened by sqrt(n / (n - 1)) for the degree
    of freedom that the estimate took. No search is needed: a look rejects at a log slowdown e when at least c Walsh
    averages of (residual + e - log(1 + delta)) are positive, c being the critical value, so each simulated session has
    the smallest e at which one of its looks rejects, and the answer is their 90 % quantile.

    Args:
        new_ns: run medians, in the order of the pairs.
        base_ns: those of the other arm.
        delta: as it is tested.
        tests: how many tests share the looks; each is held to the strictest of Holm's levels, alpha / tests.
        looks: in order.

    Returns:
        None where no look has pairs enough to reject anything.

    Raises:
        ValueError: as :func:`paired_test`.
    """
    logs = log_ratios(new_ns, base_ns)
    fitting = [look for look in looks if look.pairs <= len(logs) and look.can_reject(tests)]
    if not fitting:
        return None
    residuals = (logs - hodges_lehmann(logs)) * math.sqrt(len(logs) / (len(logs) - 1))
    generator = np.random.default_rng(0)
    size = (_SIMULATED, fitting[-1].pairs)
    drawn = generator.choice(residuals, size) * generator.choice([-1.0, 1.0], size)
    enough = np.min([_rejected_from(drawn[:, : look.pairs], look.alpha / tests, delta) for look in fitting], axis=0)
    return math.expm1(float(np.quantile(enough, _POWER, method="inverted_cdf")))


def _rejected_from(sessions: npt.NDArray[np.float64], alpha: float, delta: float) -> npt.NDArray[np.float64]:
    """The smallest log slowdown at which each session, a row of residuals, is rejected."""
    shares = sign_flip_shares(range(1, sessions.shape[1] + 1))
    tails = np.cumsum(shares[::-1])[::-1]
    critical = int(np.argmax(tails <= alpha))
    walsh = np.sort(walsh_averages(sessions), axis=1)
    return np.asarray(math.log1p(delta) - walsh[:, -critical])


def _verdict(test: PairedTest, rejected: bool) -> Verdict:
    if rejected:
        return "regressed"
    return "pass" if test.upper < 1 + max(TOO_SLOW, test.delta) else "inconclusive"
