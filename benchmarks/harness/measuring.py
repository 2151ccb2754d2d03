"""The processes of one engine's gate-grade measurement: warm-up found once, fresh runs, memory and energy apart."""

from __future__ import annotations

import contextlib
import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

from edgewright.backends import Artifact, Limits, call_isolated
from edgewright.benchmarks.harness._attempts import clocks_of, memory_of, run_of, void_reason
from edgewright.benchmarks.harness._subject import Plan
from edgewright.benchmarks.harness.energy import Counter, find_counter, measure_energy
from edgewright.benchmarks.harness.machine import choose_cpus, pressure
from edgewright.benchmarks.harness.nvml import held_back, this_gpu
from edgewright.benchmarks.harness.protocol import (
    BATCH_BELOW_NS,
    ENERGY_SECONDS,
    HUNDRED,
    MOST_ATTEMPTS,
    REPEAT_LIMIT,
    REPEAT_SECONDS,
    Protocol,
    WarmUp,
)
from edgewright.benchmarks.harness.scenarios import batched
from edgewright.benchmarks.harness.side import SideSeries
from edgewright.benchmarks.readings import Energy
from edgewright.benchmarks.record import Memory, Run, SampleKind, VoidedRun
from edgewright.core.bundle.golden import write_samples
from edgewright.core.tensors import Feeds, Outputs, TensorSpec

_CHILD = "edgewright.benchmarks.harness._run_child"
_GRACE_S = 120.0
"""What a child may take beyond its measuring: starting, importing, loading a large model."""
_PATIENCE = 5.0
"""How many times its expected length a run may take before it counts as hung."""
_RARELY_S = 1.0
_FEWEST_BATCHES = 5
"""Of one run: few, since a batch has many samples, but enough for a median over the runs."""
ARM = "a"
"""The arm of a session that has only one."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: an engine, its inputs, the right answers where they are known, and how much they may be off."""

    artifact: Artifact
    samples: Sequence[Feeds]
    expected: Sequence[Outputs] | None
    """None: the engine's own untimed answers are right."""
    tolerance: float
    threads: int
    protocol: Protocol
    gpu: bool = False
    """Whether the engine runs on an NVIDIA GPU: its clocks are then read, and void a run when they fall."""
    busy_wait: float = 0.0
    """Share of each inference's time that is waited after it, inside the timed span: a known slowdown, to see that it
    is found."""
    memory_bytes: int | None = None
    """What a child may allocate; None is nine tenths of what is free."""
    subject: str = ""
    """What lines of the log call it, where several are measured side by side."""
    progress: Callable[[str, float], None] = lambda _what, _share: None
    log: Callable[[str], None] = lambda _line: None


@dataclass(frozen=True)
class Warmth:
    """What warming up found; frozen for every run."""

    inferences: int
    steady: bool
    inner: int
    median_ns: float
    """Of one inference."""
    repeat_ratio: float | None
    scrubbed: tuple[str, ...]
    rate_per_s: float | None = None
    """Samples that arrive in a second, the same for every run; None where none arrive."""
    batch: int = 1
    """Samples in one inference."""
    needed: int | None = None
    """How many of ``inferences`` it needs itself, where they are an engine's that it is compared with; None is all."""

    @property
    def sample_kind(self) -> SampleKind:
        """Whether a figure is of one inference, the mean of several, or from a sample's arrival to its answer."""
        if self.rate_per_s is not None:
            return "response"
        return "inference" if self.inner == 1 else "batch_mean"

    @property
    def pace_s(self) -> float:
        """Seconds a run takes for each of its samples."""
        pace = self.median_ns / 1e9 / self.batch
        return pace if self.rate_per_s is None else max(pace, 1 / self.rate_per_s)

    def expected(self, rule: WarmUp) -> int:
        """About how many inferences a run warms up for; see :class:`WarmUp`."""
        needed = self.inferences if self.needed is None else self.needed
        return min(self.inferences, max(needed, round(rule.shared_seconds * 1e9 / self.median_ns)))


def digest_of_samples(samples: Sequence[Feeds]) -> str:
    """SHA-256 in hex over names, types, shapes and bytes of all inputs, in order."""
    hasher = hashlib.sha256()
    for feeds in samples:
        for name in sorted(feeds):
            array = feeds[name]
            hasher.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode("utf-8", "surrogatepass"))
            # The address of a Python string is not its content.
            hasher.update(repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes())
    return hasher.hexdigest()


class Children:
    """The processes of one engine's measurement and the files they are told by.

    Args:
        question: what is asked.
        folder: an empty one for files the children read.
        arm: what the engine is called in the record.
        side: the session's side series, whose clock can void a run; None where none is kept.
    """

    def __init__(self, question: Question, folder: Path, arm: str = ARM, side: SideSeries | None = None) -> None:
        self.question, self.folder, self.arm, self._side = question, folder, arm, side
        self.voided: list[VoidedRun] = []
        artifact, expected, size = question.artifact, question.expected, question.protocol.scenario.batch
        samples, unbatched = batched(question.samples, (*artifact.inputs, *artifact.outputs), size)
        self.notes: tuple[str, ...] = (unbatched,) if unbatched else ()
        """What was not done as it was asked for, and why."""
        self._batch = 1 if unbatched else size
        if self._batch > 1:
            expected = None  # one that scales integers by what it sees answers to a batch a little differently
        if unbatched:
            self._say(unbatched)
        self.plan = Plan(
            artifact=cast("dict[str, object]", artifact.to_json()),
            samples=self._written("samples.npz", samples, artifact.inputs),
            expected=None if expected is None else self._written("expected.npz", expected, artifact.outputs),
            threads=question.threads,
            cpus=choose_cpus(question.threads),
            windows=question.protocol.windows,
            warm_up=question.protocol.warm_up,
            gpu=question.gpu,
            scenario=question.protocol.scenario.name,
            busy_wait=question.busy_wait,
        )

    def warm_up(self) -> Warmth:
        """Finds out how long warming takes; what its audit left out is in ``notes`` then."""
        rule = self.plan.warm_up
        allowed = rule.most_seconds + MOST_ATTEMPTS * REPEAT_SECONDS
        answer = self._ask("warm_up_here", replace(self.plan, seconds=rule.most_seconds), allowed)
        typical_ns = cast("float", answer["typical_ns"])
        if "inferences" not in answer:
            self._say(f"an inference takes about {typical_ns / 1e9:.2g} s: to warm up takes a while")
            answer = self._ask("warm_up_here", self.plan, _PATIENCE * rule.longest(typical_ns) + allowed)
        medians, seconds = cast("list[float]", answer["window_medians"]), cast("float", answer["seconds"])
        if not answer["steady"]:
            self._say(f"unsteady: the times did not settle within {seconds:.0f} s of warming up")
        unasked = cast("str", answer["repeat_unasked"])
        self.notes += (unasked,) if unasked else ()
        median_ns = statistics.median(medians) if medians else typical_ns
        taken = cast("int", answer["inferences"])
        rate_per_s = self.question.protocol.scenario.rate_for(median_ns)
        return Warmth(
            inferences=taken,
            steady=bool(answer["steady"]),
            # What arrives by a schedule is stamped one by one, however short it is.
            inner=cast("int", answer["inner"]) if rate_per_s is None else 1,
            median_ns=median_ns,
            repeat_ratio=cast("float | None", answer["repeat_ratio"]),
            scrubbed=tuple(cast("list[str]", answer["scrubbed"])),
            rate_per_s=rate_per_s,
            batch=self._batch,
            needed=taken,
        )

    def run(self, order: int, warmth: Warmth) -> Run:
        """One run, made again while something outside voids it; what did is in ``voided``, of a kept one too."""
        for attempt in range(1, MOST_ATTEMPTS + 1):
            run, reason = self.attempt(order, warmth)
            if reason is None:
                break
            last = attempt == MOST_ATTEMPTS
            self.voided.append(VoidedRun(order, f"{reason} (kept: third attempt)" if last else reason))
            what = "is disturbed and kept, the third attempt" if last else "is void and made again"
            self._say(f"run {order + 1} {what}: {reason}")
        return run

    def attempt(self, order: int, warmth: Warmth, schedule: int | None = None) -> tuple[Run, str | None]:
        """One run, and what from outside voids it; None where nothing does.

        Args:
            order: its number in the session.
            warmth: what warming up found.
            schedule: the number of its schedule of arrivals, the same for runs that are to be compared; None is
                ``order``.
        """
        protocol = self.question.protocol
        plan = replace(
            self._warmed(warmth),
            inferences=max(_FEWEST_BATCHES, -(-protocol.preset.run_inferences // self._batch)),
            seconds=protocol.preset.run_seconds,
            rate_per_s=warmth.rate_per_s,
            seed=(protocol.scenario.seed, order if schedule is None else schedule),
        )
        expected_s = _expected_seconds(warmth, warmth.expected(plan.warm_up) + plan.inferences, plan.seconds)
        before = pressure(plan.cpus)
        with contextlib.nullcontext() if self._side is None else self._side.during(self.arm, order):
            answer = self._ask("run_here", plan, expected_s)
        after = pressure(plan.cpus)
        reason = void_reason(before, after) or held_back(clocks_of(answer))
        if reason is None and self._side is not None:
            reason = self._side.clock_fell(cast("int", answer["began_ns"]), cast("int", answer["ended_ns"]))
        stolen = after.stolen_since(before)
        run = run_of(answer, self.arm, order, stolen, warmth.rate_per_s, disturbed=reason is not None)
        return run, reason

    def memory(self, warmth: Warmth, processes: int = 1) -> Memory:
        """Peak memory, in so many fresh processes that time nothing: the median of each figure."""
        # The right answers are known of one arm and not of the other, and would count as its engine's memory.
        plan = replace(self.plan, expected=None)
        expected_s = _expected_seconds(warmth, HUNDRED, 0.0)
        return memory_of([self._ask("memory_here", plan, expected_s) for _ in range(processes)])

    def energy(self, warmth: Warmth, counter: Counter | None = None) -> Energy:
        """Joules per sample, without a pause in a process of its own, after the idle machine's; or why there are none.

        Args:
            warmth: what warming up found.
            counter: None looks for the machine's own.
        """
        preset = self.question.protocol.preset
        if not preset.energy:
            return Energy(reason=f"not measured with the preset {preset.name}: use --preset standard or certify")
        missing = ""
        if counter is None:
            counter, missing = find_counter(gpu=self.question.gpu, nvml=this_gpu())
        if counter is None:
            return Energy(reason=missing)
        plan = replace(self._warmed(warmth), seconds=ENERGY_SECONDS, expected=None)
        expected_s = _expected_seconds(warmth, warmth.expected(plan.warm_up), plan.seconds)

        def work() -> tuple[int, int, int]:
            answer = self._ask("energy_here", plan, expected_s)
            began, ended, inferences = (cast("int", answer[key]) for key in ("began_ns", "ended_ns", "inferences"))
            return began, ended, inferences * self._batch

        return measure_energy(counter, work)

    def _warmed(self, warmth: Warmth) -> Plan:
        needed = warmth.inferences if warmth.needed is None else warmth.needed
        return replace(self.plan, inner=warmth.inner, warm_up_inferences=warmth.inferences, warm_up_needed=needed)

    def _say(self, line: str) -> None:
        """One line of the log, with whose it is where there are several."""
        whose = (self.question.subject, "" if self.arm == ARM else self.arm)
        self.question.log(": ".join(part for part in (*whose, line) if part))

    def _written(self, name: str, samples: Sequence[Feeds], specs: tuple[TensorSpec, ...]) -> str:
        path = self.folder / f"{self.arm}-{name}"
        with path.open("wb") as file:
            write_samples(file, samples, specs)
        return str(path)

    def _ask(self, function: str, plan: Plan, expected_s: float) -> dict[str, object]:
        path = self.folder / f"plan-{self.arm}.json"
        path.write_text(json.dumps(asdict(plan)))
        answer = call_isolated(
            f"{_CHILD}:{function}",
            {"plan": str(path)},
            engine=self.question.artifact.backend,
            doing="being measured",
            limits=Limits(_GRACE_S + expected_s, self.question.memory_bytes, _RARELY_S),
        )
        return cast("dict[str, object]", answer)


def problems_of(warmth: Warmth, runs: Sequence[Run], tolerance: float) -> tuple[str, ...]:
    """The audits that failed, a line each."""
    found = []
    for run in runs:
        if run.audit_error is None or run.audit_error > tolerance:
            off = "infinitely far" if run.audit_error is None else f"{run.audit_error:.3g}"
            found.append(f"run {run.order + 1}: answers inside the timed loop are {off} off, allowed is {tolerance:g}")
    if warmth.repeat_ratio is not None and warmth.repeat_ratio < REPEAT_LIMIT:
        found.append(
            f"one input repeated takes {warmth.repeat_ratio:.0%} of the time of different ones: something keeps answers"
        )
    return tuple(found)


def _expected_seconds(warmth: Warmth, inferences: int, seconds: float) -> float:
    pace = max(warmth.median_ns, BATCH_BELOW_NS / 10) / 1e9 + (
        0.0 if warmth.rate_per_s is None else 1 / warmth.rate_per_s
    )
    return _PATIENCE * (seconds + inferences * pace)
