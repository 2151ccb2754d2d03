"""The statistics of the measurement protocol; numpy alone, deterministic, no distribution assumed.

Sources are named at each function. Percentiles are printed only above a sample floor: below it the 99 % upper bound
does not exist, so a tail figure would be a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

Samples = Sequence[float] | npt.NDArray[np.floating] | npt.NDArray[np.integer]

SAMPLE_FLOORS: Mapping[str, tuple[float, int]] = MappingProxyType(
    {"p50": (0.50, 11), "p90": (0.90, 64), "p95": (0.95, 130), "p99": (0.99, 662), "p99.9": (0.999, 6636)}
)
"""Name -> (share, fewest samples): where :func:`upper_99` begins to exist."""

_CONFIDENCE = 0.99
_INTERVAL = 0.95
_PAIRS_IN_MEMORY = 2_000_000
"""Pairwise statistics of more pairs than this are taken of evenly spaced samples."""


@dataclass(frozen=True)
class Percentile:
    """A percentile with its distribution-free 95 % interval and one-sided 99 % upper bound, in the samples' unit."""

    value: float
    ci95: tuple[float, float] | None
    """None when there are too few samples for an interval on both sides."""
    upper_99: float
    n: int


@dataclass(frozen=True)
class Outliers:
    """How many samples lie beyond Tukey's fences on each side; ``severe`` ones are counted in neither of the mild."""

    low_mild: int
    low_severe: int
    high_mild: int
    high_severe: int


def percentile(samples: Samples, share: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least ``share`` of all are not above (ISO 2602 style).

    >>> percentile([15, 20, 35, 40, 50], 0.30)
    20.0
    """
    ordered = np.sort(np.asarray(samples, np.float64))
    if not len(ordered):
        raise ValueError("no samples")
    # The product is rounded first: 0.07 * 100 is 7.000000000000001 in binary, whose ceiling would be a rank too high.
    rank = math.ceil(round(share * len(ordered), 9))
    return float(ordered[max(rank, 1) - 1])


def percentiles(samples: Samples) -> dict[str, Percentile]:
    """Those of :data:`SAMPLE_FLOORS` for which there are samples enough."""
    ordered = np.sort(np.asarray(samples, np.float64))
    found: dict[str, Percentile] = {}
    for name, (share, floor) in SAMPLE_FLOORS.items():
        bound = upper_99(ordered, share) if len(ordered) >= floor else None
        if bound is not None:
            found[name] = Percentile(percentile(ordered, share), interval_95(ordered, share), bound, len(ordered))
    return found


def interval_95(samples: Samples, share: float) -> tuple[float, float] | None:
    """The order-statistic interval that covers the percentile with at least 95 %: two samples; None for too few.

    The number of samples below the percentile is Binomial(n, share), so ranks l < u with
    P(Bin < l) <= 2.5 % and P(Bin >= u) <= 2.5 % bound it (David & Nagaraja, Order Statistics, 3rd ed., section 7.1).
    """
    ordered = np.sort(np.asarray(samples, np.float64))
    below = binomial_cdf(len(ordered), share)
    tail = (1 - _INTERVAL) / 2
    low = int(np.searchsorted(below, tail, side="right"))  # the largest l with P(Bin <= l - 1) <= tail
    high = int(np.searchsorted(below, 1 - tail, side="left")) + 1  # the smallest u with P(Bin <= u - 1) >= 1 - tail
    if low < 1 or high > len(ordered):
        return None
    return float(ordered[low - 1]), float(ordered[high - 1])


def upper_99(samples: Samples, share: float) -> float | None:
    """MLPerf's early-stopping estimate: the percentile is below this with 99 % confidence; None for too few samples.

    With the largest t >= 1 for which P(Bin(n, 1 - share) <= t) <= 1 %, it is the t-th largest sample.
    Source: MLPerf Inference rules, appendix "Early stopping", and LoadGen's ``early_stopping.cc`` (tolerance 0,
    confidence 0.99), where the probability is written as the regularised incomplete beta I_share(n - t, t + 1).
    """
    ordered = np.sort(np.asarray(samples, np.float64))
    over = binomial_cdf(len(ordered), 1 - share)
    t = int(np.searchsorted(over, 1 - _CONFIDENCE, side="right")) - 1
    return float(ordered[len(ordered) - t]) if t >= 1 else None


def theil_sen(values: Samples) -> float:
    """The median slope of all pairs, per step of an evenly spaced series (Theil 1950, Sen 1968); 0 for one value."""
    series = np.asarray(values, np.float64)
    steps = np.arange(len(series), dtype=np.float64)
    if len(series) * (len(series) - 1) // 2 > _PAIRS_IN_MEMORY:
        chosen = np.linspace(0, len(series) - 1, math.isqrt(2 * _PAIRS_IN_MEMORY)).astype(np.intp)
        series, steps = series[chosen], steps[chosen]
    first, second = np.triu_indices(len(series), 1)
    if not len(first):
        return 0.0
    return float(np.median((series[second] - series[first]) / (steps[second] - steps[first])))


def drift(medians: Samples) -> float:
    """The change over a whole series of window medians as a share of its median, by :func:`theil_sen`."""
    series = np.asarray(medians, np.float64)
    middle = float(np.median(series)) if len(series) else 0.0
    return theil_sen(series) * (len(series) - 1) / middle if middle else 0.0


def outliers(samples: Samples) -> Outliers:
    """Samples beyond 1.5 (mild) and 3 (severe) interquartile ranges of the quartiles (Tukey 1977)."""
    ordered = np.sort(np.asarray(samples, np.float64))
    low, high = percentile(ordered, 0.25), percentile(ordered, 0.75)
    spread = high - low
    return Outliers(
        low_mild=int(((ordered < low - 1.5 * spread) & (ordered >= low - 3 * spread)).sum()),
        low_severe=int((ordered < low - 3 * spread).sum()),
        high_mild=int(((ordered > high + 1.5 * spread) & (ordered <= high + 3 * spread)).sum()),
        high_severe=int((ordered > high + 3 * spread).sum()),
    )


def autocorrelation(samples: Samples) -> float:
    """Lag-1 autocorrelation, -1 to 1: sum (x_i - m)(x_(i+1) - m) / sum (x_i - m)^2; 0 for a constant series."""
    series = np.asarray(samples, np.float64)
    centred = series - series.mean() if len(series) else series
    total = float(centred @ centred)
    return float(centred[:-1] @ centred[1:]) / total if total > 0 else 0.0


def hodges_lehmann(samples: Samples) -> float:
    """The pseudo-median: the median of the means of all pairs, each sample with itself too (Hodges & Lehmann 1963)."""
    values = np.asarray(samples, np.float64)
    if not len(values):
        raise ValueError("no samples")
    if len(values) * (len(values) + 1) // 2 > _PAIRS_IN_MEMORY:
        ordered = np.sort(values)
        values = ordered[np.linspace(0, len(ordered) - 1, math.isqrt(2 * _PAIRS_IN_MEMORY)).astype(np.intp)]
    return float(np.median(walsh_averages(values)))


def walsh_averages(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The means of all pairs along the last axis, each value with itself too: ``n`` values, ``n (n + 1) / 2`` means.

    As many of them are positive as the signed-rank statistic of the values says, ties aside (Tukey 1949).
    """
    first, second = np.triu_indices(values.shape[-1])
    return np.asarray((values[..., first] + values[..., second]) / 2)


def log_ratios(first: Samples, second: Samples) -> npt.NDArray[np.float64]:
    """The natural logarithm of each ``first / second``.

    Raises:
        ValueError: they are not pairs of positive, finite figures, or there are none.
    """
    above, below = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if above.shape != below.shape or above.ndim != 1 or not len(above):
        raise ValueError(f"no pairs: shapes {above.shape} and {below.shape}")
    if not (np.isfinite(above).all() and np.isfinite(below).all() and min(above.min(), below.min()) > 0):
        raise ValueError("a figure of a ratio is not positive and finite")
    return np.asarray(np.log(above / below))


def paired_ratio(first: Samples, second: Samples) -> tuple[float, tuple[float, float] | None]:
    """The ratio ``first / second`` of paired figures and its 95 % interval; None for fewer than six pairs.

    The Hodges-Lehmann estimate of the log ratios; the interval inverts Wilcoxon's signed-rank test, whose null
    distribution is counted exactly (Hollander, Wolfe & Chicken, Nonparametric Statistical Methods, section 3.3).

    >>> paired_ratio([2.0] * 6, [1.0] * 6)
    (2.0, (2.0, 2.0))
    """
    logs = log_ratios(first, second)
    estimate = math.exp(hodges_lehmann(logs))
    walsh = np.sort(walsh_averages(logs))
    outside = _signed_rank_cut(len(logs))
    if outside < 1:
        return estimate, None
    return estimate, (math.exp(walsh[outside - 1]), math.exp(walsh[-outside]))


def sign_flip_shares(ranks: Sequence[int]) -> npt.NDArray[np.float64]:
    """P(W = k) for k = 0 ... sum(ranks), W being the sum of those ranks that have a fair coin's heads.

    The null distribution of the signed-rank statistic, exact: the shares are whole numbers over a power of two.
    """
    shares = np.zeros(sum(ranks) + 1)
    shares[0] = 1.0
    for rank in ranks:
        shares /= 2  # the coin's tails; the heads are those moved up by the rank
        shares[rank:] = shares[rank:] + shares[: len(shares) - rank]
    return shares


@cache
def _signed_rank_cut(count: int) -> int:
    """The largest k with P(W < k) <= 2.5 %, W being the signed-rank statistic of ``count`` values without ties."""
    below = np.cumsum(sign_flip_shares(range(1, count + 1)))
    return int(np.searchsorted(below, (1 - _INTERVAL) / 2, side="right"))


def variation(samples: Samples) -> float:
    """The coefficient of variation: sample standard deviation over the mean; 0 for fewer than two samples."""
    values = np.asarray(samples, np.float64)
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 and values.mean() else 0.0


def binomial_cdf(n: int, p: float, last: int | None = None) -> npt.NDArray[np.float64]:
    """P(Binomial(n, p) <= k) for k = 0 ... ``last`` (n); 0 < p < 1.

    Summed from logarithms, so that no term under- or overflows early.
    """
    k = np.arange(1, (n if last is None else last) + 1)
    logs = np.cumsum([n * math.log1p(-p), *(np.log((n - k + 1) / k) + math.log(p) - math.log1p(-p))])
    return np.cumsum(np.exp(logs))


def clopper_pearson(count: int, n: int, tail: float) -> tuple[float, float]:
    """Bounds of a binomial share of which ``count`` of ``n`` were seen; each is missed with at most ``tail``.

    Clopper & Pearson 1934. Found by bisection, to 50 bits, and rounded outwards.

    >>> low, high = clopper_pearson(0, 100, 0.05)
    >>> low, round(high, 4)
    (0.0, 0.0295)
    """

    def bisected(reached: int, level: float) -> tuple[float, float]:
        below, above = 0.0, 1.0
        for _ in range(50):
            middle = (below + above) / 2
            still = float(binomial_cdf(n, middle, reached)[-1]) > level
            below, above = (middle, above) if still else (below, middle)
        return below, above

    return bisected(count - 1, 1 - tail)[0] if count else 0.0, bisected(count, tail)[1] if count < n else 1.0
