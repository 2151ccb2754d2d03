"""Is it still as accurate? Non-inferiority on the same samples: the drop must be shown to stay within a budget.

Everything here is in the metric's own unit and turned so that more is better: a ``difference`` below zero is a drop,
whether the metric wants to be high or low. Bounds are one-sided, each with 95 %. A ``pass`` has the lower one above
``-budget``; ``regressed`` the upper one below it; between them the data cannot tell, and how much more could is said.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.gate.discordant import ALPHA, lower_bound
from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.statistics import Samples, clopper_pearson
from edgewright.core.errors import BadInputError, UsageError

FEWEST_SAMPLES = 30
"""Of a mean of scores; below, resampling says nothing of tails that were not seen."""
FEWEST_CHANGED = 20
"""Scores that differ, for the bootstrap to have something to draw."""
GROUPS = 40
"""Of the jackknife; a metric is computed once more than this, and needs as many samples."""

_RESAMPLES = 1999
"""One less than a multiple of 20, so that the 5 % quantiles are order statistics (Davison & Hinkley 1997, 2.2)."""
_FEWEST_RESAMPLES = 399
_DRAWS = 100_000_000
_DRAWS_AT_ONCE = 2_000_000
_T_39 = 1.684875122
"""95 % of Student's t with GROUPS - 1 degrees of freedom is below."""
_FEWEST_EFFECTIVE_GROUPS = 5
_MOST_SAMPLES = 1_000_000_000
_Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NonInferiority:
    """What paired samples say of a drop in accuracy."""

    difference: float
    """How much better the new one is, in the metric's unit; negative for a drop."""
    lower: float | None
    """The true difference is below this with at most 5 %; None where there are too few samples to say."""
    n: int
    budget: float
    """The drop that is allowed, at least 0."""
    verdict: Verdict
    needed: int | None
    """Where ``verdict`` is inconclusive: about how many samples would pass if what was seen of these held. None where
    no number would, the difference being at the budget or beyond it, or where ``method`` says why nobody can tell."""
    method: str
    """How the bounds were found, in words."""
    upper: float | None
    """The true difference is above this with at most 5 %."""


def non_inferiority(
    new: Samples, base: Samples, budget: float, higher_is_better: bool = True, seed: int = 0
) -> NonInferiority:
    """Whether the mean of ``new`` is no more than ``budget`` worse than that of ``base``, sample by sample.

    - Scores that are 0 or 1: the exact bounds of :mod:`edgewright.benchmarks.gate.discordant`.
    - Others: the bootstrap-t (Efron & Tibshirani 1993, 12.5), which follows the skewness that drops in quality have
      better than percentiles do, with a fixed seed. Below ``FEWEST_SAMPLES`` there are no bounds.
    - Where fewer than ``FEWEST_CHANGED`` scores differ at all there is nothing to draw from: the share of samples that
      got worse is bounded (Clopper & Pearson, 95 %), each taken to lose the whole range of scores that was seen.

    Args:
        new: one score per sample.
        base: those of the reference, of the same samples in the same order.
        budget: the drop that is allowed, in the metric's unit.
        higher_is_better: False for an error.
        seed: of the bootstrap.

    Raises:
        BadInputError: a score that is not finite.
        ValueError: no pairs, or a negative budget.
    """
    ours, theirs = np.asarray(new, np.float64), np.asarray(base, np.float64)
    _check(ours, theirs, budget)
    gains = ours - theirs if higher_is_better else theirs - ours
    n, difference = len(gains), float(gains.mean())
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    if all(np.isin(scores, (0.0, 1.0)).all() for scores in (ours, theirs)):
        bounds = lower_bound(better, worse, n), -lower_bound(worse, better, n)
        needed = _samples_for_shares(better, worse, n, budget)
        return _judged(difference, bounds, n, budget, needed=needed, method="exact, of discordant pairs")
    deviation = float(gains.std(ddof=1)) if n > 1 else 0.0
    if n < FEWEST_SAMPLES:
        about = _samples(n, difference, 2 * deviation / math.sqrt(n), budget)
        needed = None if about is None else max(about, FEWEST_SAMPLES)
        return _judged(difference, None, n, budget, needed=needed, method=f"none: fewer than {FEWEST_SAMPLES} samples")
    if better + worse < FEWEST_CHANGED:
        span = float(max(ours.max(), theirs.max()) - min(ours.min(), theirs.min()))
        bounds = -clopper_pearson(worse, n, ALPHA)[1] * span, clopper_pearson(better, n, ALPHA)[1] * span
        # A bound on a few events falls with n, not with its root.
        needed = _rounded_up(n * -bounds[0] / budget) if difference > -budget and budget > 0 else None
        method = "exact, of the few scores that differ, at their worst"
        return _judged(difference, bounds, n, budget, needed=needed, method=method)
    bounds = _bootstrap_t(gains, difference, deviation / math.sqrt(n), seed)
    needed = _samples(n, difference, difference - bounds[0], budget)
    return _judged(difference, bounds, n, budget, needed=needed, method="bootstrap-t")


def non_inferiority_of_metric(
    score: Callable[[Sequence[int]], tuple[float, float]],
    n: int,
    budget: float,
    higher_is_better: bool = True,
    seed: int = 0,
) -> NonInferiority:
    """As :func:`non_inferiority`, of a metric that is no mean of scores: mAP, F1, AUC, a rank correlation.

    By the jackknife that leaves out one of ``GROUPS`` random groups of samples at a time (for groups of unequal size:
    Busing, Meijer & van der Leeden 1999), with Student's t. It costs ``GROUPS`` + 1 computations of the metric, where a
    bootstrap takes hundreds, no sample occurs twice, which ranks and matched boxes would mistake for a tie, and leaving
    out groups is consistent for metrics that are not smooth too (Shao & Wu 1989). Where the difference hangs on a
    handful of groups, Student's t does not hold: there the number of such samples may be as high as a Poisson count's
    95 % bound, each with the strongest influence that was seen, and with 1/n at least.

    Args:
        score: the new model's and the reference's metric over some samples, given by ascending indices.
        n: how many samples there are.
        budget: the drop that is allowed, in the metric's unit.
        higher_is_better: False for an error.
        seed: of the grouping.

    Raises:
        BadInputError: the metric over all samples is not finite; and what ``score`` raises over all samples.
        ValueError: no samples, or a negative budget.
    """
    if n < 1:
        raise ValueError("no samples")
    new, base = score(range(n))
    _check(np.array([new]), np.array([base]), budget)
    sign = 1.0 if higher_is_better else -1.0
    difference = sign * (new - base)
    if n < GROUPS:
        return _judged(difference, None, n, budget, needed=GROUPS, method=f"none: fewer than {GROUPS} samples")
    groups = np.array_split(np.random.default_rng(seed).permutation(n), GROUPS)
    try:
        without = np.array([score(rest) for rest in _left(groups, n)])
    except (BadInputError, UsageError) as error:  # what a metric says, ours or the user's own
        method = f"none: with some samples left out, {error.problem}"
        return _judged(difference, None, n, budget, needed=None, method=method)
    differences = sign * (without[:, 0] - without[:, 1])
    if not np.isfinite(differences).all():
        method = "none: the metric is not finite with some samples left out"
        return _judged(difference, None, n, budget, needed=None, method=method)
    width = _jackknife(difference, differences, np.array([len(group) for group in groups]), n)
    bounds = difference - width, difference + width
    return _judged(difference, bounds, n, budget, needed=_samples(n, difference, width, budget), method="jackknife")


def _check(new: _Floats, base: _Floats, budget: float) -> None:
    if new.shape != base.shape or new.ndim != 1 or not len(new) or not budget >= 0:
        raise ValueError(f"scores of shapes {new.shape} and {base.shape}, budget {budget}")
    for scores in (new, base):
        wrong = np.flatnonzero(~np.isfinite(scores))
        if len(wrong):
            raise BadInputError(
                f"the score of sample {wrong[0]} is {scores[wrong[0]]}", "Mend the metric, or leave that sample out."
            )


def _judged(
    difference: float,
    bounds: tuple[float, float] | None,
    n: int,
    budget: float,
    *,
    needed: int | None,
    method: str,
) -> NonInferiority:
    verdict: Verdict = "inconclusive"
    if bounds is not None and bounds[0] > -budget:
        verdict = "pass"
    elif bounds is not None and bounds[1] < -budget:
        verdict = "regressed"
    lower, upper = bounds or (None, None)
    return NonInferiority(
        difference=difference,
        lower=lower,
        n=n,
        budget=budget,
        verdict=verdict,
        needed=needed if verdict == "inconclusive" else None,
        method=method,
        upper=upper,
    )


def _bootstrap_t(gains: _Floats, mean: float, error: float, seed: int) -> tuple[float, float]:
    """mean - q error, q being quantiles of (resample's mean - mean) / resample's error."""
    if error == 0:
        return mean, mean
    generator, n = np.random.default_rng(seed), len(gains)
    wanted = max(_FEWEST_RESAMPLES, min(_RESAMPLES, _DRAWS // n))
    rows = max(1, _DRAWS_AT_ONCE // n)
    drawn: list[_Floats] = []
    for start in range(0, wanted, rows):
        sample = gains[generator.integers(n, size=(min(rows, wanted - start), n))]
        off, errors = sample.mean(axis=1) - mean, sample.std(axis=1, ddof=1) / math.sqrt(n)
        # A resample of equal values is as far out as can be; it is finite so that a bound is.
        drawn.append(off / np.maximum(errors, error * 1e-6))
    ratios = np.concatenate(drawn)
    high = float(np.quantile(ratios, 1 - ALPHA, method="higher"))
    low = float(np.quantile(ratios, ALPHA, method="lower"))
    return mean - high * error, mean - low * error


def _left(groups: Sequence[npt.NDArray[np.intp]], n: int) -> Iterator[list[int]]:
    for group in groups:
        kept = np.ones(n, bool)
        kept[group] = False
        yield np.flatnonzero(kept).tolist()


def _jackknife(whole: float, without: _Floats, sizes: npt.NDArray[np.intp], n: int) -> float:
    """How far the bounds are from the difference on either side: Student's t, or more where few samples weigh."""
    ratio = n / sizes
    pseudo = ratio * whole - (ratio - 1) * without
    off = pseudo - float((pseudo / ratio).sum())
    width = _T_39 * math.sqrt(float(np.mean(off**2 / (ratio - 1))))
    total, fourth = float((off**2).sum()), float((off**4).sum())
    effective = total**2 / fourth if fourth > 0 else 0.0
    if effective < _FEWEST_EFFECTIVE_GROUPS:
        count = math.ceil(effective)
        strongest = max(float(np.abs(without - whole).max()), 1 / n)
        width = max(width, (clopper_pearson(count, n, ALPHA)[1] * n - count) * strongest)
    return width


def _samples(n: int, difference: float, width: float, budget: float) -> int | None:
    """How many would bring a bound that is ``width`` below the difference above the budget, at the rate of 1/sqrt n."""
    margin = difference + budget
    if margin <= 0 or n * (width / margin) ** 2 > _MOST_SAMPLES:
        return None
    return _rounded_up(max(n * (width / margin) ** 2, n + 1))


def _samples_for_shares(better: int, worse: int, n: int, budget: float) -> int | None:
    """How many samples, at the same rates, would put the exact lower bound above the budget."""
    if (better - worse) / n <= -budget:
        return None

    def passes(count: int) -> bool:
        return lower_bound(round(better * count / n), round(worse * count / n), count) > -budget

    enough = n
    while not passes(enough):
        enough *= 2
        if enough > _MOST_SAMPLES:
            return None
    few = enough // 2
    while enough - few > 0.02 * enough:
        middle = (few + enough) // 2
        few, enough = (few, middle) if passes(middle) else (middle, enough)
    return _rounded_up(enough)


def _rounded_up(count: float) -> int:
    """To two digits: it is an estimate."""
    unit = 10.0 ** max(0, math.floor(math.log10(max(count, 1))) - 1)
    return math.ceil(count / unit) * int(unit)
