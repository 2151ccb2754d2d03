from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.gate.unpaired import ALPHA, rank_sum_shares, unpaired_test

DELTA, ALLOWANCE = 0.02, 0.05


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 1000))
def test_p_is_the_exact_rank_sum_p(first: int, second: int, seed: int) -> None:
    """scipy counts the same distribution; both are exact, so only rounding is left."""
    stats = pytest.importorskip("scipy.stats", reason="the reference is scipy's")
    rng = np.random.default_rng(seed)
    new, stored = np.exp(rng.normal(0.1, 0.2, first)), np.exp(rng.normal(0, 0.2, second))
    shift = np.log1p(DELTA) + np.log1p(ALLOWANCE)
    right = stats.mannwhitneyu(np.log(new) - shift, np.log(stored), alternative="greater", method="exact").pvalue
    assert unpaired_test(new, stored, DELTA, ALLOWANCE).p == pytest.approx(right, rel=1e-9)


@pytest.mark.parametrize(("first", "second"), [(1, 1), (3, 5), (20, 20), (40, 33)])
def test_the_distribution_is_one(first: int, second: int) -> None:
    shares = rank_sum_shares(first, second)
    assert len(shares) == first * second + 1
    assert shares.sum() == pytest.approx(1, rel=1e-12)
    assert np.allclose(shares, shares[::-1], rtol=1e-12)


def test_the_interval_covers_what_it_says() -> None:
    """Of 2000 sessions without a difference, those whose interval misses 1: at most 5 %, and 1.5 % of chance."""
    rng = np.random.default_rng(1)
    missed = 0
    for _ in range(2000):
        test = unpaired_test(np.exp(rng.normal(0, 0.02, 6)), np.exp(rng.normal(0, 0.02, 5)), 0, 0)
        assert test.ci95 is not None
        missed += not test.ci95[0] <= 1 <= test.ci95[1]
    assert 0.01 < missed / 2000 < 0.065


def sessions(true: float, runs: int, between: float, count: int = 400) -> Counter[str]:
    """Verdicts of simulated sessions; standard deviations: 1.5 % of processes, ``between`` of sessions."""
    rng = np.random.default_rng(runs)
    found: Counter[str] = Counter()
    for _ in range(count):
        new, stored = (np.exp(rng.normal(0, 0.015, runs) + rng.normal(0, between)) for _ in range(2))
        test = unpaired_test(true * new, stored, DELTA, ALLOWANCE)
        found[test.verdict(rejected=test.p <= ALPHA)] += 1
    return found


@pytest.mark.parametrize("runs", [5, 10, 20])
@pytest.mark.parametrize("between", [0.0, 0.01, 0.02])
def test_no_change_hardly_ever_alarms_and_mostly_passes(runs: int, between: float) -> None:
    """The table in docs/gate.md. 400 sessions: at most 1 % alarms where sessions differ by 2 % or less."""
    found = sessions(1.0, runs, between)
    assert found["regressed"] <= 4
    assert found["pass"] >= 0.7 * 400


@pytest.mark.parametrize("runs", [5, 20])
def test_what_a_pass_rules_out_does_not_pass(runs: int) -> None:
    """At +10 %, which is what a pass rules out, at most 2.5 % pass, and +20 % is found."""
    assert sessions(1.10, runs, 0.02)["pass"] <= 0.025 * 400
    assert sessions(1.20, runs, 0.02)["regressed"] >= 0.98 * 400


def test_too_few_runs_are_inconclusive_whatever_they_say() -> None:
    slow = unpaired_test([2.0] * 3, [1.0] * 3, DELTA, ALLOWANCE)
    assert not slow.can_reject
    assert slow.ci95 is None
    assert slow.p > ALPHA
    assert slow.verdict(rejected=slow.p <= ALPHA) == "inconclusive"
    assert unpaired_test([1.0] * 3, [1.0] * 3, DELTA, ALLOWANCE).verdict(rejected=False) == "inconclusive"


def test_the_bounds_of_the_verdicts() -> None:
    """Runs without any noise: regressed above 1.02 x 1.05, pass below 1.10 / 1.05."""
    verdicts = []
    for true in (1.0, 1.047, 1.048, 1.0709, 1.0711):
        test = unpaired_test([true] * 5, [1.0] * 5, DELTA, ALLOWANCE)
        assert test.ratio == pytest.approx(true)
        verdicts.append(test.verdict(rejected=test.p <= ALPHA))
    assert verdicts == ["pass", "pass", "inconclusive", "inconclusive", "regressed"]


@pytest.mark.parametrize("figures", [[], [1.0, 0.0], [1.0, np.nan], [np.inf]])
def test_figures_that_are_none(figures: list[float]) -> None:
    with pytest.raises(ValueError, match="no figures"):
        unpaired_test(figures, [1.0], DELTA, ALLOWANCE)
