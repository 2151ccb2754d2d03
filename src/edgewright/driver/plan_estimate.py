"""How long a compile will take, about: engines of the float32 original are opened and run for a moment, and counted.

Every figure is derived from what was measured for this plan, or comes from the cache and is nought. What cannot be run
here has no estimate.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from edgewright.backends import Backend, Limits, open_isolated
from edgewright.backends import registry as backends
from edgewright.core.errors import EdgewrightError
from edgewright.core.model import Model
from edgewright.core.tensors import Feeds
from edgewright.driver.cache_steps import Clock
from edgewright.driver.executions import way_seconds
from edgewright.driver.job import Job, Lane
from edgewright.driver.plan_kept import ENGINE, SCORE
from edgewright.driver.reference import BACKEND
from edgewright.driver.samples import SyntheticSamples
from edgewright.driver.selection import SECONDS_PER_ARM
from edgewright.driver.sizes import usual_inputs
from edgewright.targets.schema import Target

LEFT_OUT = "what passes compute by themselves and the measurement of --max-latency are not in it"
_RUNS, _SECONDS = 8, 0.5
"""An engine is run so often, or for so long, whatever is over first; once in any case."""
_DEADLINE_S = 30.0
"""For opening it, and for each run."""


@dataclass(frozen=True)
class Minutes:
    """About how long: at ``least`` where no scheme needs tuning, at ``most`` where each takes all of its trials."""

    least: float
    most: float

    def __add__(self, other: Minutes) -> Minutes:
        return Minutes(self.least + other.least, self.most + other.most)

    def to_json(self) -> dict[str, float]:
        """Two digits: it is no more than an estimate."""
        return {"least": float(f"{self.least:.2g}"), "most": float(f"{self.most:.2g}")}


@dataclass(frozen=True)
class Probe:
    """What was measured of the float32 original on one runtime, or why nothing was."""

    build_s: float = 0.0
    open_s: float = 0.0
    """From the start of a process to the first answer."""
    run_s: float = 0.0
    runs: int = 0
    unknown: str = ""

    @property
    def basis(self) -> str:
        """In words."""
        if self.unknown:
            return f"unknown: {self.unknown}"
        return (
            f"measured now: the float32 engine was built in {self.build_s:.2g} s, gave its first answer after"
            f" {self.open_s:.2g} s, then took {self.run_s * 1e3:.2g} ms a sample (mean of {self.runs})"
        )

    def scoring_s(self, samples: int) -> float:
        """Opening an engine and running it on so many samples."""
        return self.open_s + samples * self.run_s if samples else 0.0


class Probes:
    """The original on each runtime, measured once."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._found: dict[tuple[str, str, int], Probe] = {}
        self._by_target: dict[str, Probe] = {}

    def of(self, lane: Lane) -> Probe:
        """On the lane's runtime."""
        found = self._by_target[lane.target.name] = self._of(lane)
        return found

    def named(self, target: str) -> Probe:
        """That of a target that was asked about."""
        return self._by_target[target]

    def _of(self, lane: Lane) -> Probe:
        workshop = lane.workshop
        if not lane.presence.runnable:
            return Probe(unknown=f"it cannot be run here: {lane.presence.reason}")
        if workshop.backend.native_code:
            return Probe(unknown=f"building an engine of {workshop.backend.name} is most of the work")
        if workshop.backend.name == BACKEND and lane.target.device == "CPU":
            return self._on(workshop.backend, lane.target, lane.threads)
        return self._on(workshop.backend, lane.target, lane.threads, lane)

    def reference(self) -> Probe:
        """Where the original itself is run: what gives its answers, and what calibration runs on."""
        executor = self._job.answers.executor
        return self._on(backends().find(BACKEND)(), replace(executor.target, device="CPU"), executor.threads)

    def _on(self, backend: Backend, target: Target, threads: int, lane: Lane | None = None) -> Probe:
        key = (backend.name, "" if lane is None else target.name, threads)
        if key not in self._found:
            try:
                self._found[key] = self._measured(backend, target, threads, lane)
            except EdgewrightError as error:
                self._found[key] = Probe(unknown=error.problem)
        return self._found[key]

    def _measured(self, backend: Backend, target: Target, threads: int, lane: Lane | None) -> Probe:
        job = self._job
        model: Model = job.original
        if lane is not None and lane.workshop.program is not None:
            model = lane.workshop.program
        feeds = _feeds(job)
        clock = Clock()
        artifact = backend.lower(model, target, Path(tempfile.mkdtemp(prefix="probe-", dir=job.workdir)))
        build_s = clock.seconds
        if artifact.pending:
            return Probe(unknown=f"an engine is built on the device: {artifact.pending}")
        if lane is not None:
            artifact = lane.workshop.openable(artifact)
        clock = Clock()
        with open_isolated(artifact.backend, artifact, threads, Limits(deadline_s=_DEADLINE_S)) as session:
            session.run(feeds[0])
            open_s, taken = clock.seconds, list[float]()
            for one in islice(cycle(feeds), _RUNS):
                clock = Clock()
                session.run(one)
                taken.append(clock.seconds)
                if sum(taken) >= _SECONDS:
                    break
        return Probe(build_s, open_s, statistics.mean(taken), len(taken))


@dataclass(frozen=True)
class Asked:
    """How candidates are gone about: what decides how much each takes."""

    judged: int
    """Samples each is scored on; 0 where it is built only."""
    trials: int
    """Of a scheme that can be tuned, in all."""
    timed: bool
    """Whether they are timed against each other."""
    ways: int = 0
    """In how many other ways each is run, where it is among the fastest."""


def candidate_minutes(probe: Probe, asked: Asked, kept: Iterable[str], *, tunable: bool) -> Minutes | None:
    """For one candidate; None where nothing could be measured.

    Args:
        kept: what of it comes from the cache.
        tunable: whether other options and layers in float are tried where it misses the limit.
    """
    if probe.unknown:
        return None
    there = set(kept)
    scoring_s = probe.scoring_s(asked.judged)
    first_s = (0.0 if ENGINE in there else probe.build_s) + (0.0 if SCORE in there else scoring_s)
    timing_s = SECONDS_PER_ARM if asked.timed else 0.0
    again_s = (asked.trials - 1) * (probe.build_s + scoring_s) if tunable and asked.judged else 0.0
    otherwise_s = way_seconds(asked.ways) if asked.timed else 0.0
    return Minutes((first_s + timing_s) / 60, (first_s + 2 * timing_s + again_s + otherwise_s) / 60)


def shared_minutes(reference: Probe, *, answered: Sequence[int], calibrated: int) -> Minutes | None:
    """What is done once, whatever the number of candidates.

    Args:
        answered: sizes of the sets that the original is still to be asked about.
        calibrated: samples that statistics are taken on; 0 where they are in the cache.
    """
    if reference.unknown:
        return None
    seconds = sum(reference.scoring_s(count) for count in (*answered, calibrated))
    return Minutes(seconds / 60, seconds / 60)


def _feeds(job: Job) -> list[Feeds]:
    if job.sets is not None:
        return list(islice(iter(job.sets.select), _RUNS))
    return list(SyntheticSamples(usual_inputs(job.original), _RUNS, job.request.seed))
