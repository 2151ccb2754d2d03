from __future__ import annotations

import fcntl
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.backends import Artifact
from edgewright.benchmarks import search_grade
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.benchmarks.search_grade import Arm, time_arms
from edgewright.core.tensors import Feeds

Paced = Callable[..., Artifact]
SHORT = 0.5


def test_the_faster_arm_is_seen_and_a_far_slower_one_is_dropped(paced: Paced, paced_feeds: list[Feeds]) -> None:
    arms = [Arm(name, paced(us=us), paced_feeds) for name, us in (("slow", 20_000), ("a", 2000), ("b", 3000))]
    slow, a, b = time_arms(arms, seconds_per_arm=1.5)
    assert [one.name for one in (slow, a, b)] == ["slow", "a", "b"]
    assert a.median_ms is not None
    assert b.median_ms is not None
    # The engines spin to the microsecond; only the system's own scheduling comes on top.
    assert 2.0 <= a.median_ms < b.median_ms < 20
    assert len(slow.block_medians) < len(a.block_medians)


def test_short_runs_are_timed_in_batches(paced: Paced, paced_feeds: list[Feeds]) -> None:
    (timing,) = time_arms([Arm("a", paced(us=20), paced_feeds)], seconds_per_arm=SHORT)
    assert timing.median_ms is not None
    assert 0.02 <= timing.median_ms < 0.2


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ({"open": "crash"}, "crashed", "SIGABRT"),
        ({"crash_at": 30}, "crashed", "SIGABRT"),
        ({"open": "refuse"}, "raised", "refuses this file"),
        ({"raise_at": 30}, "raised", "fell over"),
    ],
)
def test_an_arm_that_fails_is_named_and_the_others_go_on(
    paced: Paced, paced_feeds: list[Feeds], how: dict[str, object], kind: str, words: str
) -> None:
    arms = [
        Arm("before", paced(), paced_feeds),
        Arm("bad", paced(**how), paced_feeds),
        Arm("after", paced(), paced_feeds),
    ]
    before, bad, after = time_arms(arms, seconds_per_arm=SHORT)
    assert before.median_ms is not None
    assert after.median_ms is not None
    assert bad.median_ms is None
    assert bad.failure is not None
    assert bad.failure.kind == kind
    assert words in bad.failure.problem


def test_an_arm_that_hangs_is_named(paced: Paced, paced_feeds: list[Feeds], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_grade, "DEADLINE_S", 3.0)
    arms = [Arm("good", paced(), paced_feeds), Arm("hung", paced(us=60_000_000), paced_feeds)]
    good, hung = time_arms(arms, seconds_per_arm=0.2)
    assert good.median_ms is not None
    assert hung.failure is not None
    assert hung.failure.kind == "timeout"


def test_all_arms_failing_is_no_exception(paced: Paced, paced_feeds: list[Feeds]) -> None:
    (only,) = time_arms([Arm("bad", paced(open="crash"), paced_feeds)], seconds_per_arm=SHORT)
    assert only.median_ms is None


def test_whoever_has_to_wait_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines: list[str] = []
    with timing_lock("CPU", lines.append):
        assert not lines
        (path,) = tmp_path.iterdir()
        other = os.open(path, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(other)
    holder = os.open(path, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    told = threading.Event()
    release = threading.Thread(target=lambda: (told.wait(10), os.close(holder)))
    release.start()
    with timing_lock("cpu", lambda line: (lines.append(line), told.set())[0]):
        assert "another edgewright" in lines[0]
    release.join()
