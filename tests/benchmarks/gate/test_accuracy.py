from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from edgewright.benchmarks.gate import accuracy
from edgewright.benchmarks.gate.accuracy import (
    FEWEST_SAMPLES,
    GROUPS,
    NonInferiority,
    non_inferiority,
    non_inferiority_of_metric,
)
from edgewright.core.errors import BadInputError, EdgewrightError, IOFailureError, UsageError

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def shares(gained: int, lost: int, n: int) -> tuple[Floats, Floats]:
    """0/1 scores of two models, of which a tenth of the others is wrong in both."""
    new, base = np.ones(n), np.ones(n)
    base[:gained] = 0
    new[gained : gained + lost] = 0
    both = slice(gained + lost, gained + lost + (n - gained - lost) // 10)
    new[both] = base[both] = 0
    return new, base


@pytest.mark.parametrize(
    ("gained", "lost", "n", "verdict"),
    [
        (0, 0, 400, "pass"),
        (0, 0, 200, "inconclusive"),
        (5, 8, 2000, "pass"),
        (0, 30, 1000, "regressed"),
        (2, 12, 1000, "inconclusive"),
        (10, 500, 1000, "regressed"),
    ],
)
def test_shares_are_judged_by_exact_bounds(gained: int, lost: int, n: int, verdict: str) -> None:
    found = non_inferiority(*shares(gained, lost, n), budget=0.01)
    assert found.verdict == verdict
    assert found.difference == pytest.approx((gained - lost) / n)
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.difference < found.upper
    assert found.method == "exact, of discordant pairs"


def test_a_verdict_of_shares_is_mcnemars() -> None:
    """At budget 0 to be judged worse is McNemar's exact test, give or take what not conditioning gains."""
    for lost in range(1, 20):
        ours = non_inferiority(*shares(2, lost, 1000), budget=0.0).verdict == "regressed"
        p = stats.binomtest(lost, lost + 2, alternative="greater").pvalue
        assert ours or p > 0.04
        assert not ours or p < 0.10


@pytest.mark.parametrize("higher", [True, False])
def test_an_error_is_the_other_way_round(higher: bool) -> None:
    generator = np.random.default_rng(1)
    base = generator.normal(5, 1, 300)
    new = base + generator.normal(0.1, 0.2, 300)
    found = non_inferiority(new, base, 0.02, higher_is_better=higher)
    assert found.verdict == ("pass" if higher else "regressed")
    assert found.difference == pytest.approx((1 if higher else -1) * float(np.mean(new - base)))


def test_the_same_seed_is_the_same_answer() -> None:
    new, base = np.random.default_rng(2).normal(size=(2, 100))
    assert non_inferiority(new, base, 0.1, seed=3) == non_inferiority(new, base, 0.1, seed=3)
    assert non_inferiority(new, base, 0.1, seed=3) != non_inferiority(new, base, 0.1, seed=4)


@settings(deadline=None)
@given(st.integers(0, 30), st.sampled_from([0.25, 4.0, 1024.0]), st.sampled_from([0.0, 8.0]))
def test_the_unit_of_scores_does_not_matter(seed: int, scale: float, shift: float) -> None:
    """Powers of two, so that rounding is the same."""
    new, base = np.random.default_rng(seed).normal(size=(2, 60)).round(3)
    one, other = (
        non_inferiority(new, base, 0.1),
        non_inferiority(new * scale + shift, base * scale + shift, 0.1 * scale),
    )
    assert other.verdict == one.verdict
    assert other.lower == pytest.approx(scale * (one.lower or math.nan), abs=1e-9 * scale)


def skewed(generator: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """Most samples lose little, some much; a true drop of .05."""
    base = generator.normal(size=n)
    return base - generator.exponential(0.05, n), base


def symmetric(generator: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    base = generator.normal(size=n)
    return base + generator.normal(-0.05, 0.2, n), base


def sparse(generator: np.random.Generator, n: int) -> tuple[Floats, Floats]:
    """One score in five changes, by -.25 on average."""
    base = generator.uniform(size=n)
    return np.where(generator.random(n) < 0.2, base * generator.random(n), base), base


@pytest.mark.parametrize("draw", [skewed, symmetric, sparse])
@pytest.mark.parametrize("n", [30, 200])
def test_the_bounds_of_a_mean_cover(draw: Draw, n: int) -> None:
    """400 draws of a true drop of .05: 5 % misses on either side; a standard error of 1.1 %, three of them allowed."""
    generator = np.random.default_rng(4)
    found = [non_inferiority(*draw(generator, n), budget=0.01, seed=k) for k in range(400)]
    assert np.mean([one.lower is not None and one.lower > -0.05 for one in found]) <= 0.05 + 3 * 0.011
    assert np.mean([one.upper is not None and one.upper < -0.05 for one in found]) <= 0.05 + 3 * 0.011


def test_few_scores_that_differ_are_taken_at_their_worst() -> None:
    base = np.linspace(0, 2, 400)
    found = non_inferiority(base, base, 0.02)
    # The rule of three, times the range of 2.
    assert found.lower == pytest.approx(-2 * (1 - 0.05 ** (1 / 400)))
    assert (found.verdict, found.difference) == ("pass", 0)
    assert non_inferiority(base[:200], base[:200] * 1.0, 0.01).verdict == "inconclusive"
    new = base.copy()
    new[::100] -= 1e-9
    assert non_inferiority(new, base, 0.02).method.startswith("exact, of the few")


@pytest.mark.parametrize("n", [1, 2, FEWEST_SAMPLES - 1])
def test_few_samples_say_nothing(n: int) -> None:
    new, base = np.random.default_rng(5).normal(0.5, 1e-9, (2, n))
    found = non_inferiority(new, base, 0.5)
    assert (found.verdict, found.lower, found.upper, found.needed) == ("inconclusive", None, None, FEWEST_SAMPLES)
    assert non_inferiority_of_metric(lambda _: (0.5, 0.5), GROUPS - 1, 0.5).needed == GROUPS


def repeated(scores: tuple[Floats, Floats], found: NonInferiority, share: float) -> NonInferiority:
    """The same samples over and over, to about ``share`` of the number that is said to be needed."""
    assert found.needed is not None
    assert found.verdict == "inconclusive"
    times = max(1, round(found.needed * share / found.n))
    new, base = (np.tile(one, times) for one in scores)
    return non_inferiority(new, base, found.budget)


@pytest.mark.parametrize(
    "scores",
    [shares(2, 7, 1000), shares(30, 35, 1000), shares(0, 0, 50), skewed(np.random.default_rng(7), 100)],
    ids=["few discordant", "many discordant", "none discordant", "skewed"],
)
def test_as_many_samples_as_are_needed_pass_and_half_do_not(scores: tuple[Floats, Floats]) -> None:
    difference = float(np.mean(scores[0] - scores[1]))
    found = non_inferiority(*scores, budget=0.0045 - difference)
    # 30 % more and less than "about".
    assert repeated(scores, found, 1.3).verdict == "pass"
    assert repeated(scores, found, 0.5).verdict == "inconclusive"


def test_no_number_is_named_where_none_would_do() -> None:
    assert non_inferiority(*shares(0, 10, 1000), budget=0.01).needed is None
    assert non_inferiority(*shares(0, 11, 1000), budget=0.01).needed is None
    assert non_inferiority(*shares(0, 0, 1000), budget=0.0).needed is None
    assert non_inferiority(*shares(0, 1, 1000), budget=0.001 + 1e-9).needed is None
    assert non_inferiority(*shares(0, 0, 1000), budget=1e-8).needed == pytest.approx(3e8, rel=0.05)
    base = np.random.default_rng(8).normal(size=100)
    noisy = base - 0.01 + np.tile([-1.0, 1.0], 50)
    assert non_inferiority(noisy, base, 0.009).needed is None
    assert non_inferiority(*shares(0, 0, 1000), budget=0.01).needed is None  # passes as it is


def test_a_score_that_is_no_number_is_named() -> None:
    with pytest.raises(BadInputError, match="score of sample 1 is nan"):
        non_inferiority([0.5, math.nan], [0.5, 0.5], 0.1)
    with pytest.raises(BadInputError, match="is inf"):
        non_inferiority_of_metric(lambda _: (math.inf, 0.5), 100, 0.1)


@pytest.mark.parametrize(("new", "base", "budget"), [([], [], 0.1), ([1.0], [1.0, 0.0], 0.1), ([1.0], [1.0], -0.1)])
def test_what_is_no_pairs_is_refused(new: list[float], base: list[float], budget: float) -> None:
    with pytest.raises(ValueError, match="scores of shapes"):
        non_inferiority(new, base, budget)


# --- metrics that are no means ----------------------------------------------------------------------------------------

Score = Callable[[Sequence[int]], tuple[float, float]]


def area(scores: Floats, positive: npt.NDArray[np.bool_]) -> float:
    count = int(positive.sum())
    above = stats.rankdata(scores)[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(positive) - count)))


def auc(generator: np.random.Generator, n: int) -> Score:
    positive = generator.random(n) < 0.5
    base = positive + generator.normal(size=n)
    new = base + generator.normal(0, 0.3, n)
    return lambda kept: (area(new[kept], positive[kept]), area(base[kept], positive[kept]))


def f1(generator: np.random.Generator, n: int, changed: float = 0.03) -> Score:
    right = generator.random(n) < 0.3
    base = right ^ (generator.random(n) < 0.1)
    new = base ^ (generator.random(n) < changed)

    def of(answers: npt.NDArray[np.bool_], kept: Sequence[int]) -> float:
        return float(2 * (answers[kept] & right[kept]).sum() / (answers[kept].sum() + right[kept].sum()))

    return lambda kept: (of(new, kept), of(base, kept))


def rarely_changed_f1(generator: np.random.Generator, n: int) -> Score:
    return f1(generator, n, changed=0.005)


@pytest.mark.parametrize("make", [auc, f1, rarely_changed_f1])
def test_the_bounds_of_a_metric_cover(make: Callable[[np.random.Generator, int], Score]) -> None:
    """200 draws: a standard error of 1.5 %, three of which are allowed. The truth is that of half a million samples."""
    generator = np.random.default_rng(9)
    new, base = make(generator, 500_000)(range(500_000))
    found = [non_inferiority_of_metric(make(generator, 150), 150, 0.01, seed=k) for k in range(200)]
    assert np.mean([one.lower is not None and one.lower > new - base for one in found]) <= 0.05 + 3 * 0.015
    assert np.mean([one.upper is not None and one.upper < new - base for one in found]) <= 0.05 + 3 * 0.015


@pytest.mark.parametrize(("n", "within"), [(GROUPS, 1e-6), (80, 0.06), (95, 0.06)])
def test_the_jackknife_of_a_mean_is_the_t_interval(n: int, within: float) -> None:
    """With groups of one it is so exactly; with 40 of two or three it is another estimate of the same width."""
    new, base = np.random.default_rng(10).normal(size=(2, n))

    def score(kept: Sequence[int]) -> tuple[float, float]:
        return float(new[kept].mean()), float(base[kept].mean())

    found = [non_inferiority_of_metric(score, n, 0.1, seed=seed) for seed in range(30)]
    widths = [one.difference - one.lower for one in found if one.lower is not None]
    expected = stats.t(n - 1).ppf(0.95) * float(np.std(new - base, ddof=1)) / math.sqrt(n)
    # 30 groupings of the same data, each within some 12 % (1 / sqrt(2 * 39)).
    assert np.mean(widths) == pytest.approx(expected, rel=within)


def test_a_metric_is_computed_once_more_than_there_are_groups() -> None:
    calls: list[Sequence[int]] = []

    def score(kept: Sequence[int]) -> tuple[float, float]:
        calls.append(kept)
        return float(np.mean(kept)), 0.0

    non_inferiority_of_metric(score, 95, 0.1)
    assert len(calls) == GROUPS + 1
    left_out = [set(range(95)) - set(kept) for kept in calls[1:]]
    assert sorted(index for group in left_out for index in group) == list(range(95))
    assert all(list(kept) == sorted(kept) for kept in calls)


def test_a_model_that_changes_nothing_passes_with_samples_enough() -> None:
    same = non_inferiority_of_metric(lambda kept: (len(kept) ** 0.5, len(kept) ** 0.5), 400, 0.01)
    assert (same.verdict, same.difference) == ("pass", 0)
    assert same.lower == pytest.approx(-3 / 400, rel=0.01)
    few = non_inferiority_of_metric(lambda _: (0.9, 0.9), 100, 0.01)
    assert few.verdict == "inconclusive"
    # A metric that has to be low: the drop is a rise.
    worse = non_inferiority_of_metric(lambda kept: (1 + 1e-6 * kept[0], 0.5), 400, 0.01, higher_is_better=False)
    assert (worse.verdict, worse.difference) == ("regressed", -0.5)


@pytest.mark.parametrize("kind", [BadInputError, UsageError])
def test_a_metric_that_needs_every_sample_is_inconclusive(kind: type[EdgewrightError]) -> None:
    """Ours and a user's own, which raises what is blamed on them."""

    def raises(kept: Sequence[int]) -> tuple[float, float]:
        if 7 not in kept:
            raise kind("auc needs both classes")
        return 0.9, 0.9

    found = non_inferiority_of_metric(raises, 100, 0.1)
    assert (found.verdict, found.lower, found.needed) == ("inconclusive", None, None)
    assert "auc needs both classes" in found.method
    found = non_inferiority_of_metric(lambda kept: (0.9, 0.9) if 7 in kept else (math.nan, 0.9), 100, 0.1)
    assert (found.verdict, found.lower) == ("inconclusive", None)


def test_a_disk_that_fails_is_no_fault_of_the_metric() -> None:
    def raises(kept: Sequence[int]) -> tuple[float, float]:
        if 7 not in kept:
            raise IOFailureError("answers cannot be kept")
        return 0.9, 0.9

    with pytest.raises(IOFailureError):
        non_inferiority_of_metric(raises, 100, 0.1)


def test_the_quantile_is_students() -> None:
    assert pytest.approx(stats.t(GROUPS - 1).ppf(0.95), abs=1e-8) == accuracy._T_39


def test_a_finding_can_be_written_as_json() -> None:
    found = non_inferiority(*shares(2, 7, 1000), budget=0.01)
    assert all(isinstance(value, float | int | str | None) for value in dataclasses.asdict(found).values())
