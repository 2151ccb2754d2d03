from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edgewright.benchmarks import statistics as own

values = st.lists(st.integers(1, 10_000), min_size=2, max_size=80)
shares = st.sampled_from([0.5, 0.9, 0.95, 0.99])


@given(values, st.integers(1, 100))
def test_percentile_is_numpys_nearest_rank(samples: list[int], hundredths: int) -> None:
    expected = np.percentile(samples, hundredths, method="inverted_cdf")
    assert own.percentile(samples, hundredths / 100) == expected


@pytest.mark.parametrize(("share", "floor"), own.SAMPLE_FLOORS.values(), ids=own.SAMPLE_FLOORS)
def test_the_floors_are_where_the_bound_begins(share: float, floor: int) -> None:
    assert own.upper_99(range(floor - 1), share) is None
    assert own.upper_99(range(floor), share) is not None
    # The published figures of MLPerf for 90 % and 99 % are 64 and 662 queries.


def loadgen_discards(n: int, share: float) -> int:
    """LoadGen's own search, with scipy's incomplete beta: the largest t with h_min(t) + t <= n."""
    t = 0
    while n - (t + 1) > 0 and stats.beta.cdf(share, n - (t + 1), t + 2) <= 0.01:
        t += 1
    return t


@given(st.integers(11, 3000), shares)
def test_upper_99_is_loadgens(n: int, share: float) -> None:
    samples = np.arange(n, dtype=float)
    t = loadgen_discards(n, share)
    assert own.upper_99(samples, share) == (samples[n - t] if t else None)


@given(st.integers(1, 400), shares)
def test_the_interval_covers_and_is_the_tightest(n: int, share: float) -> None:
    found = own.interval_95(np.arange(1, n + 1), share)
    cdf = stats.binom(n, share).cdf
    if found is None:
        # Even the two extreme samples leave more than 2.5 % on a side.
        assert cdf(0) > 0.025 or cdf(n - 1) < 0.975
        return
    low, high = (int(rank) for rank in found)
    # Of a continuous distribution, P(X_(low) <= q <= X_(high)) = P(low <= Bin < high).
    assert cdf(low - 1) <= 0.025 < cdf(low)
    assert 1 - cdf(high - 1) <= 0.025 + 1e-12  # rounding of the sums
    assert high == low or cdf(high - 2) < 0.975


@given(values)
def test_theil_sen_is_scipys(samples: list[int]) -> None:
    # Both take the median of the same slopes: equal to rounding.
    assert own.theil_sen(samples) == pytest.approx(stats.theilslopes(samples)[0], abs=1e-9)


def test_theil_sen_of_a_long_series_is_thinned() -> None:
    rng = np.random.default_rng(0)
    series = 5 + 0.01 * np.arange(20_000) + rng.normal(size=20_000)
    # 2 million pairs of it estimate the slope to well below a hundredth of itself.
    assert own.theil_sen(series) == pytest.approx(0.01, rel=0.01)
    assert own.drift(series) == pytest.approx(200 / 105, rel=0.01)


@given(values)
def test_hodges_lehmann_shifts_and_scales_with_the_samples(samples: list[int]) -> None:
    walsh = [(a + b) / 2 for i, a in enumerate(samples) for b in samples[i:]]
    assert own.hodges_lehmann(samples) == pytest.approx(float(np.median(walsh)), rel=1e-12)


@given(values)
def test_outliers_are_tukeys(samples: list[int]) -> None:
    low, high = (np.percentile(samples, share, method="inverted_cdf") for share in (25, 75))
    far = {
        fence: sum(x < low - fence * (high - low) or x > high + fence * (high - low) for x in samples)
        for fence in (1.5, 3)
    }
    found = own.outliers(samples)
    assert found.low_severe + found.high_severe == far[3]
    assert found.low_mild + found.high_mild == far[1.5] - far[3]


def test_outliers_by_hand() -> None:
    assert own.outliers([*[10, 11, 12, 13] * 5, 18, 100, 1]) == own.Outliers(1, 0, 1, 1)


@given(values)
def test_autocorrelation_and_variation(samples: list[int]) -> None:
    centred = np.array(samples) - np.mean(samples)
    expected = 0.0 if not centred.any() else float((centred[1:] * centred[:-1]).sum() / (centred**2).sum())
    assert own.autocorrelation(samples) == pytest.approx(expected, abs=1e-9)
    assert own.variation(samples) == pytest.approx(float(stats.variation(samples, ddof=1)), abs=1e-12)


def test_percentiles_stop_at_their_floor() -> None:
    assert set(own.percentiles(range(10))) == set()
    assert set(own.percentiles(range(64))) == {"p50", "p90"}
    found = own.percentiles(range(662))
    assert set(found) == {"p50", "p90", "p95", "p99"}
    assert found["p99"].value == 655
    assert found["p99"].upper_99 == 661  # at the floor itself, the largest sample
    assert found["p99"].ci95 is not None
    low, high = found["p99"].ci95
    assert low < 655 < high


def test_paired_ratio_has_the_published_interval() -> None:
    # Hollander, Wolfe & Chicken, table A.4: for n = 8 P(W >= 33) = .020 and P(W >= 32) = .027, so the 95 % interval is
    # from the 4th smallest to the 4th largest of the 36 Walsh averages.
    logs = np.log([1.01, 0.97, 1.05, 1.10, 0.99, 1.07, 1.02, 1.04])
    walsh = np.sort([(a + b) / 2 for index, a in enumerate(logs) for b in logs[index:]])
    value, interval = own.paired_ratio(np.exp(logs) * 5, np.full(8, 5.0))
    assert interval == pytest.approx((np.exp(walsh[3]), np.exp(walsh[-4])))
    assert value == pytest.approx(np.exp(np.median(walsh)))
    assert own.paired_ratio([1.0] * 5, [2.0] * 5) == (0.5, None)


def test_the_interval_of_a_paired_ratio_covers_what_it_should() -> None:
    """400 draws of 12 pairs with a true ratio of 1.1: 95 % of intervals hold it, within four standard errors."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        common = rng.normal(0, 0.3, 12)  # what both arms of a round suffer
        first = 1.1 * np.exp(common + rng.normal(0, 0.05, 12))
        _, interval = own.paired_ratio(first, np.exp(common + rng.normal(0, 0.05, 12)))
        assert interval is not None
        held += interval[0] <= 1.1 <= interval[1]
    assert held / 400 == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 400) ** 0.5)


@given(st.integers(1, 2000), st.floats(0.001, 0.999), st.data())
def test_the_binomial_is_scipys(n: int, p: float, data: st.DataObject) -> None:
    last = data.draw(st.integers(0, n))
    # The logarithms' rounding grows with the number of terms: 1e-12 of 2000.
    np.testing.assert_allclose(own.binomial_cdf(n, p, last), stats.binom(n, p).cdf(np.arange(last + 1)), atol=1e-10)


@given(st.integers(1, 500), st.sampled_from([0.00025, 0.025, 0.05]), st.data())
def test_clopper_pearson_is_the_betas(n: int, tail: float, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, n))
    low, high = own.clopper_pearson(count, n, tail)
    assert low == pytest.approx(stats.beta.ppf(tail, count, n - count + 1) if count else 0.0, abs=1e-9)
    assert high == pytest.approx(stats.beta.isf(tail, count + 1, n - count) if count < n else 1.0, abs=1e-9)
