"""The steps of a trace: size, accuracy and time of the model as it was after each pass, and of the engine shipped."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from edgewright.backends import Artifact
from edgewright.benchmarks.harness.protocol import PRESETS
from edgewright.benchmarks.trace import NEVER_SETTLED, NO_STEP_TIME, SAME_AS, StepKind, TraceStep
from edgewright.compiler.computation import computation_digest
from edgewright.core.errors import EdgewrightError, EngineError
from edgewright.core.model import Model, OnnxModel
from edgewright.driver.conclude import Winner
from edgewright.driver.job import Job
from edgewright.driver.latency import PRESET, measured
from edgewright.driver.package import golden_samples
from edgewright.driver.waypoints import Waypoint
from edgewright.driver.workshop import narrowed

_SECONDS = 3.0
"""Building an engine and judging it, roughly, where nothing better is known yet."""
_OVERHEAD = 2.0
"""What a measurement takes for each second that it measures: warming up, loading, the memory's process."""


def trace_steps(job: Job, winner: Winner, on_the_way: Sequence[Waypoint]) -> tuple[TraceStep, ...]:
    """The original, the model after each of ``on_the_way``, and the engine; all lowered by the target's backend.

    What computes in a narrower type where the model says float32, because the runtime is told to, is only the engine:
    its step shows what that brings.
    """
    meter = _Meter(job, winner)
    lane, built = winner.contender.lane, winner.contender.trial.built
    target = narrowed(lane.target, built.choice)
    original: Model = lane.workshop.program or job.original
    todo: list[tuple[str, StepKind, Model | None]] = [("original", "original", original)]
    todo += [(one.name, "pass", one.after) for one in on_the_way]
    todo.append((built.choice.title, "engine", None))
    log, steps, began = job.request.log, [], time.monotonic()
    took = _shown(_estimate(len(todo), timed=lane.presence.timed))
    log(f"  trace: {len(todo)} engines to build and measure, about {took}")
    for place, (name, kind, model) in enumerate(todo):
        after = {"original": "the original", "pass": f"after {name}", "engine": f"the engine, {name}"}[kind]
        left = (time.monotonic() - began) / place * (len(todo) - place) if place else 0.0
        log(f"  trace: {after} ({place + 1} of {len(todo)}{f', about {_shown(left)} left' if place else ''})")
        if model is None:
            steps.append(meter.step(name, kind, built.artifact, _engine_computation(winner)))
            continue
        try:
            artifact = lane.workshop.lowered(model, target)
        except EdgewrightError as error:
            steps.append(TraceStep(name, kind, None, None, None, note=f"cannot be built as it is: {error.problem}"))
            continue
        steps.append(meter.step(name, kind, artifact, _computation(model)))
        for file in artifact.files:
            (artifact.folder / file).unlink(missing_ok=True)
    return tuple(steps)


@dataclass
class _Meter:
    """Measures engines as the shipped one is.

    What is the same computation, but for names, is measured once: timed again it would differ by the machine's mood.
    """

    job: Job
    winner: Winner
    _known: dict[str, TraceStep] = field(default_factory=dict)

    def step(self, name: str, kind: StepKind, artifact: Artifact, computation: str) -> TraceStep:
        keys = [_content(artifact), *([computation] if computation else [])]
        same = next((self._known[key] for key in keys if key in self._known), None)
        if same is None:
            found = self._measured(name, kind, artifact)
        else:
            size = None if artifact.pending else artifact.size_bytes
            note = same.note or f"{SAME_AS}{same.name}"
            found = replace(same, name=name, kind=kind, size_bytes=size, note=note)
        self._known.update(dict.fromkeys(keys, same or found))
        return found

    def _measured(self, name: str, kind: StepKind, artifact: Artifact) -> TraceStep:
        notes: list[str] = []
        size = None if artifact.pending else artifact.size_bytes
        if artifact.pending:
            notes.append(f"no engine to weigh: {artifact.pending}")
        accuracy = p50 = interval = None
        try:
            accuracy = self._accuracy(artifact)
            p50, interval, shaky = self._p50(artifact)
            notes += shaky
        except EdgewrightError as error:
            notes.append(error.problem)
        return TraceStep(name, kind, size, accuracy, p50, interval, "; ".join(notes))

    def _accuracy(self, artifact: Artifact) -> float | None:
        lane, sets = self.winner.contender.lane, self.job.sets
        if sets is None or lane.judge is None or not lane.presence.runnable:
            return None
        return lane.judge.score(lane.workshop.openable(artifact), sets.prove, artifact.threads(lane.threads)).value

    def _p50(self, artifact: Artifact) -> tuple[float | None, tuple[float, float] | None, list[str]]:
        """Nanoseconds by the full protocol, as every figure that is shown; the interval; what makes it shaky."""
        contender, proof = self.winner.contender, self.winner.proof
        lane = contender.lane
        if not lane.presence.timed:
            return None, None, []
        built = replace(contender.trial.built, artifact=artifact)
        golden, tolerances = golden_samples(
            built, artifact, proof.golden.inputs, [dict(one) for one in proof.golden.original], lane.threads
        )
        record = measured(self.job, lane, built, replace(proof, golden=golden, tolerances=tolerances))
        if record.status == "invalid":
            raise EngineError(f"{NO_STEP_TIME}the measurement is invalid: {'; '.join(record.notes)}", "Compile again.")
        p50 = record.summary.percentiles["p50"]
        return p50.value, p50.ci95, [NEVER_SETTLED] if record.status == "unsteady" else []


def _computation(model: Model, precision: str = "fp32") -> str:
    """Equal for models that engines of equal speed and answers are made of; empty where that cannot be told."""
    return f"{computation_digest(model)} {precision}" if isinstance(model, OnnxModel) else ""


def _engine_computation(winner: Winner) -> str:
    """That of the engine shipped."""
    workshop, built = winner.contender.lane.workshop, winner.contender.trial.built
    return "" if workshop.program is not None else _computation(built.model, workshop.hint(built.choice))


def _content(artifact: Artifact) -> str:
    """Equal for engines of the same bytes that are opened in the same way."""
    hasher = hashlib.sha256(json.dumps([artifact.backend, artifact.entry, dict(artifact.properties)]).encode())
    for name in artifact.files:
        with (artifact.folder / name).open("rb") as file:
            hasher.update(f"\0{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return hasher.hexdigest()


def _estimate(engines: int, *, timed: bool) -> float:
    """Seconds; the first engine tells better."""
    return engines * (_SECONDS + (PRESETS[PRESET].seconds * (1 + _OVERHEAD) if timed else 0.0))


def _shown(seconds: float) -> str:
    return f"{max(1, round(seconds))} s" if seconds < 90 else f"{round(seconds / 60)} min"
