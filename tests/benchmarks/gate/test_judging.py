from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

import numpy as np
import pytest

from edgewright.benchmarks.accuracy import Score
from edgewright.benchmarks.bench import Benched
from edgewright.benchmarks.gate.baseline import Baseline, Scores
from edgewright.benchmarks.gate.findings import Failure, Finding
from edgewright.benchmarks.gate.found import Found
from edgewright.benchmarks.gate.judging import judge_alone, judge_pair
from edgewright.benchmarks.gate.opened import Opened
from edgewright.benchmarks.pairs.compared import Compared
from edgewright.benchmarks.pairs.duel import Pairing
from edgewright.benchmarks.record import AccuracyFound, Memory, Record, Target, Verdict
from edgewright.core.errors import ExitCode, UsageError

MakeRecord = Callable[..., Record]
MakeOpened = Callable[..., Opened]
MS = 1_000_000
SCORES = Scores("top1", True, 1.0, 100, "d", np.ones(100))
SCORE = Score("top1", 1.0, 100, True, np.ones(100))
UNLABELLED = "accuracy not measured: x.npz has no labels, and the original model is not here"
OF_THE_ORIGINAL = "accuracy not measured: agreement is the default (why); name a --metric that compares with labels"


@pytest.fixture
def record(record_of: MakeRecord) -> Record:
    return record_of([[MS] * 64] * 5, memory=Memory(1, 2, 3, 5000))


def judged(one: Opened, record: Record, score: Score | None = None) -> Found:
    found = Found()
    judge_alone(found, [(one, Benched(record, score))])
    return found


def only(found: Found, metric: str) -> Finding | None:
    of_it = [one for one in found.findings if one.metric == metric]
    assert len(of_it) <= 1
    return of_it[0] if of_it else None


def test_memory_of_other_threads_is_no_figure_to_grow_from(
    opened_of: MakeOpened, record: Record, stored: Baseline
) -> None:
    other = replace(stored, threads=2)
    found = judged(opened_of(stored=other, max_memory_growth=0.1, max_growth=0.0), record)
    memory, size = only(found, "memory"), only(found, "size")
    assert memory is not None
    assert (memory.verdict, "other threads or inputs" in memory.text) == ("inconclusive", True)
    assert size is not None
    assert size.verdict == "pass"  # bytes of files do not depend on threads
    assert not any("peak memory" in line for line in judged(opened_of(stored=other), record).report.notes)
    assert any("peak memory 5 kB, was 1 kB" in line for line in judged(opened_of(stored=stored), record).report.notes)


def test_growth_of_what_was_not_kept_is_not_shown(opened_of: MakeOpened, record: Record, stored: Baseline) -> None:
    found = only(judged(opened_of(stored=replace(stored, memory_bytes=None), max_memory_growth=9.0), record), "memory")
    assert found is not None
    assert (found.verdict, "has no figure of it" in found.text) == ("inconclusive", True)


@pytest.mark.parametrize(
    ("asked", "notes", "why"),
    [
        ({"metric": "top1"}, ["accuracy not measured: --metric needs --data"], "no data is named"),
        ({"max_drop": 0.01}, [], "no data is named"),
        ({"max_drop": 0.01, "data": "x.npz"}, [UNLABELLED], "x.npz has no labels"),
        ({"metric": "agreement", "data": "x.npz"}, [OF_THE_ORIGINAL], "name a --metric"),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_accuracy_that_is_asked_for_and_not_there(
    opened_of: MakeOpened,
    record: Record,
    stored: Baseline,
    asked: dict[str, object],
    notes: list[str],
    why: str,
    kept: bool,
) -> None:
    one = opened_of(stored=stored if kept else None, max_bytes=10**9, **asked)
    found = only(judged(one, replace(record, notes=tuple(notes))), "accuracy")
    assert found is not None
    assert found.verdict == "inconclusive"
    assert why in found.text
    assert found.remedy


def test_a_baseline_with_scores_asks_for_accuracy(opened_of: MakeOpened, record: Record, stored: Baseline) -> None:
    scored = replace(stored, scores=SCORES)
    found = only(judged(opened_of(stored=scored), record), "accuracy")
    assert found is not None
    assert found.verdict == "inconclusive"
    assert "--data" in found.remedy
    measured = replace(record, accuracy=AccuracyFound("top1", 1.0, None, 100, True, "d"))
    held = only(judged(opened_of(stored=scored, data="x.npz"), measured, SCORE), "accuracy")
    assert held is not None
    assert held.figures["budget"] == 0.01  # none is stated, so it is the default


def test_data_alone_ask_for_accuracy_where_they_have_labels(
    opened_of: MakeOpened, record: Record, stored: Baseline
) -> None:
    unlabelled, fidelity = replace(record, notes=(UNLABELLED,)), replace(record, notes=(OF_THE_ORIGINAL,))
    one = opened_of(stored=stored, data="x.npz")
    assert only(judged(one, unlabelled), "accuracy") is None
    assert only(judged(opened_of(stored=stored), record), "accuracy") is None
    assert only(judged(one, fidelity), "accuracy") is not None
    assert only(judged(opened_of(data="x.npz", max_bytes=10**9), fidelity), "accuracy") is None


def test_accuracy_without_anything_to_hold_it_against(opened_of: MakeOpened, record: Record) -> None:
    told = judged(opened_of(data="x.npz", max_bytes=10**9), record, SCORE)
    assert only(told, "accuracy") is None
    assert "door: accuracy (top1 1.0000) not judged: there is nothing to hold it against" in told.report.notes
    asked = only(judged(opened_of(data="x.npz", max_bytes=10**9, max_drop=0.01), record, SCORE), "accuracy")
    assert asked is not None
    assert (asked.verdict, "--against" in asked.remedy) == ("inconclusive", True)


def test_what_is_relative_needs_a_baseline(opened_of: MakeOpened, record: Record) -> None:
    """Unless it is the first of its kind: then a note says that these limits do not hold yet."""
    stated = {"max_bytes": 10**9, "max_regression": 0.02, "max_drop": 0.01, "max_growth": 0.1, "max_memory_growth": 0.1}
    found = judged(opened_of(**stated), record)
    assert [(one.metric, one.verdict) for one in found.findings] == [
        ("latency", "inconclusive"),
        ("accuracy", "inconclusive"),
        ("size", "pass"),
        ("size", "inconclusive"),
        ("memory", "inconclusive"),
    ]
    first = judged(opened_of(first=True, **stated), record)
    assert [(one.metric, one.verdict) for one in first.findings] == [("size", "pass")]
    assert any("there is no baseline yet" in line for line in first.report.notes)


def test_a_stand_in_shows_no_limit_of_the_device(opened_of: MakeOpened, record: Record, stored: Baseline) -> None:
    proxy = replace(record, target=Target("a board", "onnxruntime", 1, host_proxy=True))
    limits = {"max_latency_ms": 1000.0, "max_memory_bytes": 10**9, "max_memory_growth": 9.0, "max_bytes": 10**9}
    found = judged(opened_of(stored=stored, **limits), proxy).findings
    # The ratio, the growth, and the files' bytes are what they would be there.
    assert [(one.metric, one.verdict) for one in found] == [
        ("latency", "pass"),
        ("latency-limit", "inconclusive"),
        ("size", "pass"),
        ("memory", "inconclusive"),
        ("memory", "pass"),
    ]
    assert "stands in for a board" in found[1].text
    assert {one.verdict for one in judged(opened_of(stored=stored, **limits), record).findings} == {"pass"}


def test_a_pair_whose_scoring_failed_keeps_its_latency(
    opened_of: MakeOpened, compared_record: Callable[[Verdict], Record]
) -> None:
    one = opened_of(data="x.npz", metric="task.py:score", max_drop=0.01)
    found = Found(failures=[Failure.of("net", UsageError("metric score gave nan"), "door")])
    compared = Compared(
        pairing=cast("Pairing", None),
        record=compared_record("pass"),
        scores=None,
        accuracy=None,
        memory_new=None,
        memory_base=None,
        size_new=5,
        size_base=5,
    )
    judge_pair(found, one, compared)
    assert [(one.metric, one.verdict) for one in found.findings] == [("latency", "pass")]
    assert found.report.exit_code == ExitCode.USAGE
    assert found.entries == []
    assert "door: not fit to be a baseline: not all of it could be measured" in found.report.notes
