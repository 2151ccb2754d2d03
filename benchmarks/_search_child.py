"""The child's side of search-grade timing; see :mod:`edgewright.benchmarks.search_grade`."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import cast

from edgewright.backends import Artifact, Session, registry
from edgewright.benchmarks.harness._subject import scrub_environment
from edgewright.core.bundle.golden import read_samples
from edgewright.core.errors import EdgewrightError, EngineError
from edgewright.core.tensors import Feeds, Outputs

UNTIMED_NS = 80_000_000
TIMED_NS = 60_000_000
FEWEST_ROUNDS = 3
ROUNDS_BEFORE_DROPPING = 6
"""The fewest pairs that a ratio has an interval of."""
FAR_BEHIND = 1.5
"""An arm is dropped when its best block is this much slower than the worst block of the fastest arm."""
_BATCH_NS = 1_000_000
"""Runs shorter than this are timed several at a time: reading the clock must not count."""


@dataclass
class _Opened:
    session: Session
    feeds: cycle[Feeds]
    inner: int = 1
    spent_ns: int = 0
    medians_ms: list[float] = field(default_factory=list)


class _Place:
    """Whose turn it is, in a file the parent reads when this process dies."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+")

    def enter(self, index: int) -> None:
        self._file.seek(0)
        self._file.write(f"{index:06d}")
        self._file.flush()


def time_here(plan: str) -> list[dict[str, object]]:
    """Opens and times every arm of the plan file; one row each, in its order."""
    content = cast("dict[str, object]", json.loads(Path(plan).read_text()))
    rows = cast("list[Mapping[str, object]]", content["arms"])
    place = _Place(Path(str(content["place"])))
    scrub_environment()
    opened: dict[int, _Opened] = {}
    failures: dict[int, dict[str, str]] = {}
    for index, row in enumerate(rows):
        place.enter(index)
        try:
            opened[index] = _open(row, cast("int", content["threads"]))
        except EdgewrightError as error:
            failures[index] = _failure(error)
    gc.collect()
    gc.disable()
    _take_turns(opened, failures, place, cast("float", content["seconds_per_arm"]))
    return [
        {
            "failure": failures.get(index),
            "block_medians": opened[index].medians_ms if index not in failures else [],
            "median_ms": statistics.median(opened[index].medians_ms) if index not in failures else None,
        }
        for index in range(len(rows))
    ]


def _open(row: Mapping[str, object], threads: int) -> _Opened:
    artifact = Artifact.from_json(row["artifact"])  # type: ignore[arg-type]
    with Path(str(row["feeds"])).open("rb") as file:
        samples = read_samples(file, artifact.inputs, "timed inputs")
    session = registry().find(artifact.backend)().open(artifact, artifact.threads(threads))
    feeds: cycle[Feeds] = cycle(cast("list[Feeds]", samples))
    session.run(next(feeds))
    took = min(_timed(session, feeds, 1) for _ in range(3))
    return _Opened(session, feeds, inner=max(1, -(-_BATCH_NS // max(took, 1))))


def _take_turns(
    opened: dict[int, _Opened], failures: dict[int, dict[str, str]], place: _Place, seconds_per_arm: float
) -> None:
    racing = list(opened)
    rounds = 0
    while racing:
        for index in racing if rounds % 2 == 0 else reversed(racing):
            place.enter(index)
            try:
                _block(opened[index])
            except EdgewrightError as error:
                failures[index] = _failure(error)
        rounds += 1
        racing = [index for index in racing if index not in failures]
        if rounds >= ROUNDS_BEFORE_DROPPING:
            racing = _near_the_front(racing, opened)
        if rounds >= FEWEST_ROUNDS:
            racing = [index for index in racing if opened[index].spent_ns < seconds_per_arm * 1e9]


def _block(arm: _Opened) -> None:
    """Untimed runs, at least one, then timed ones, at least one."""
    start = time.perf_counter_ns()
    while True:
        arm.session.run(next(arm.feeds))
        if time.perf_counter_ns() - start >= UNTIMED_NS:
            break
    times: list[int] = []
    begin = time.perf_counter_ns()
    while time.perf_counter_ns() - begin < TIMED_NS or not times:
        times.append(_timed(arm.session, arm.feeds, arm.inner))
    arm.medians_ms.append(statistics.median(times) / arm.inner / 1e6)
    arm.spent_ns += time.perf_counter_ns() - start


def _timed(session: Session, feeds: cycle[Feeds], inner: int) -> int:
    """Nanoseconds of ``inner`` runs."""
    answer: Outputs = {}
    start = time.perf_counter_ns()
    for _ in range(inner):
        answer = session.run(next(feeds))
    took = time.perf_counter_ns() - start
    del answer
    return took


def _near_the_front(racing: list[int], opened: dict[int, _Opened]) -> list[int]:
    if not racing:
        return racing
    limit = FAR_BEHIND * min(max(opened[index].medians_ms) for index in racing)
    return [index for index in racing if min(opened[index].medians_ms) <= limit]


def _failure(error: EdgewrightError) -> dict[str, str]:
    kind = error.kind if isinstance(error, EngineError) else "raised"
    return {"problem": error.problem, "remedy": error.remedy, "kind": kind}
