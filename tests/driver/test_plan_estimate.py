"""How long a compile takes, about: nothing that was not measured, and what is cached takes nothing."""

from __future__ import annotations

import pytest

from edgewright.core.errors import ExitCode
from edgewright.driver.executions import way_seconds
from edgewright.driver.plan_estimate import Asked, Minutes, Probe, candidate_minutes, shared_minutes
from edgewright.driver.plan_report import CompilePlan, TargetPlan
from edgewright.driver.selection import SECONDS_PER_ARM

PROBE = Probe(build_s=2.0, open_s=1.0, run_s=0.1, runs=8)
ASKED = Asked(judged=50, trials=4, timed=True)
SCORING_S = 1.0 + 50 * 0.1


def seconds(found: Minutes | None) -> tuple[float, float]:
    assert found is not None
    return pytest.approx(found.least * 60), pytest.approx(found.most * 60)  # type: ignore[return-value]


def test_a_float_candidate_is_built_scored_and_timed() -> None:
    once = 2.0 + SCORING_S + SECONDS_PER_ARM
    assert seconds(candidate_minutes(PROBE, ASKED, (), tunable=False)) == (once, once + SECONDS_PER_ARM)


def test_a_scheme_may_take_all_of_its_trials() -> None:
    once = 2.0 + SCORING_S + SECONDS_PER_ARM
    most = once + SECONDS_PER_ARM + 3 * (2.0 + SCORING_S)
    assert seconds(candidate_minutes(PROBE, ASKED, (), tunable=True)) == (once, most)


def test_what_is_cached_takes_nothing() -> None:
    asked = Asked(judged=50, trials=4, timed=False)
    kept = ("passes", "engine", "score")
    assert seconds(candidate_minutes(PROBE, asked, kept, tunable=False)) == (0.0, 0.0)
    assert seconds(candidate_minutes(PROBE, asked, ("passes", "engine"), tunable=False)) == (SCORING_S, SCORING_S)


def test_what_could_not_be_measured_has_no_estimate() -> None:
    unknown = Probe(unknown="it cannot be run here")
    assert candidate_minutes(unknown, ASKED, (), tunable=False) is None
    assert shared_minutes(unknown, answered=(5,), calibrated=0) is None
    assert unknown.basis == "unknown: it cannot be run here"


def test_what_is_shared_counts_once() -> None:
    found = shared_minutes(PROBE, answered=(10, 20), calibrated=0)
    assert seconds(found) == (1 + 1 + 1 + 2, 1 + 1 + 1 + 2)
    assert Minutes(1, 2) + Minutes(3, 4) == Minutes(4, 6)
    assert Minutes(0.12345, 12.345).to_json() == {"least": 0.12, "most": 12.0}


def test_an_output_that_some_target_can_have_is_no_failure() -> None:
    able, unable = TargetPlan("a/x", "a"), TargetPlan("a/y", "a", exit_code=ExitCode.UNAVAILABLE)
    alone = TargetPlan("b/y", "b", exit_code=ExitCode.UNAVAILABLE)
    assert CompilePlan("net", "", (), (able, unable)).exit_code is ExitCode.OK
    assert CompilePlan("net", "", (), (able, unable, alone)).exit_code is ExitCode.UNAVAILABLE


def test_other_ways_to_run_are_in_the_most_and_not_in_the_least() -> None:
    once = 2.0 + SCORING_S + SECONDS_PER_ARM
    asked = Asked(judged=50, trials=4, timed=True, ways=3)
    assert seconds(candidate_minutes(PROBE, asked, (), tunable=False)) == (
        once,
        once + SECONDS_PER_ARM + way_seconds(3),
    )
    assert way_seconds(3) > 3 * 0.5
    assert way_seconds(0) == 0
