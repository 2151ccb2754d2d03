"""Gate-grade measurement of one engine: warm-up found once, then runs in fresh processes, then memory in its own."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import cast

from edgewright.backends import Artifact, Limits, call_isolated
from edgewright.benchmarks._run_child import Plan
from edgewright.benchmarks.machine import Pressure, choose_cpus, pressure
from edgewright.benchmarks.nvml import Clocks, held_back, reading_of
from edgewright.benchmarks.protocol import (
    BATCH_BELOW_NS,
    DRIFT_LIMIT,
    HUNDRED,
    MOST_ATTEMPTS,
    REPEAT_LIMIT,
    STOLEN_LIMIT,
    Protocol,
)
from edgewright.benchmarks.record import Memory, Run, SampleKind, VoidedRun
from edgewright.benchmarks.statistics import drift
from edgewright.core.bundle.golden import write_samples
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

_CHILD = "edgewright.benchmarks._run_child"
_GRACE_S = 120.0
"""What a child may take beyond its measuring: starting, importing, loading a large model."""
_PATIENCE = 5.0
"""How many times its expected length a run may take before it counts as hung."""
_RARELY_S = 1.0
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

    @property
    def sample_kind(self) -> SampleKind:
        """Whether each inference is stamped, or the mean of several."""
        return "inference" if self.inner == 1 else "batch_mean"


@dataclass(frozen=True)
class Measured:
    """Raw results."""

    warmth: Warmth
    runs: tuple[Run, ...]
    voided: tuple[VoidedRun, ...]
    memory: Memory
    cpus: tuple[int, ...] | None
    problems: tuple[str, ...] = field(default=())
    """What makes the figures wrong rather than shaky: audits that failed."""


def measure(question: Question, folder: Path) -> Measured:
    """Measures by the protocol; the caller holds the timing lock.

    Args:
        question: what is asked.
        folder: an empty one for files the children read.

    Raises:
        EngineError: the engine cannot be opened, or crashes, hangs or runs out of memory.
    """
    children = Children(question, folder)
    question.progress("warming up", 0.0)
    warmth = children.warm_up()
    count = question.protocol.preset.runs_for(warmth.median_ns / 1e9)
    runs = []
    for order in range(count):
        question.progress(f"run {order + 1} of {count}", (order + 1) / (count + 2))
        runs.append(children.run(order, warmth))
    question.progress("memory", (count + 1) / (count + 2))
    memory = children.memory(warmth)
    problems = problems_of(warmth, runs, question.tolerance)
    return Measured(warmth, tuple(runs), tuple(children.voided), memory, children.plan.cpus, problems)


def digest_of_samples(samples: Sequence[Feeds]) -> str:
    """SHA-256 in hex over names, types, shapes and bytes of all inputs, in order."""
    hasher = hashlib.sha256()
    for feeds in samples:
        for name in sorted(feeds):
            array = feeds[name]
            hasher.update(f"{name}\0{array.dtype.name}\0{array.shape}\0".encode("utf-8", "surrogatepass"))
            hasher.update(_bytes(array))
    return hasher.hexdigest()


def _bytes(array: Array) -> bytes:
    # The address of a Python string is not its content.
    return repr(array.tolist()).encode() if array.dtype.kind == "O" else array.tobytes()


class Children:
    """The processes of one engine's measurement and the files they are told by.

    Args:
        question: what is asked.
        folder: an empty one for files the children read.
        arm: what the engine is called in the record.
    """

    def __init__(self, question: Question, folder: Path, arm: str = ARM) -> None:
        self.question, self.folder, self.arm = question, folder, arm
        self.voided: list[VoidedRun] = []
        artifact, expected = question.artifact, question.expected
        self.plan = Plan(
            artifact=cast("dict[str, object]", artifact.to_json()),
            samples=self._written("samples.npz", question.samples, artifact.inputs),
            expected=None if expected is None else self._written("expected.npz", expected, artifact.outputs),
            threads=question.threads,
            cpus=choose_cpus(question.threads),
            windows=question.protocol.windows,
            warm_up=question.protocol.warm_up,
            gpu=question.gpu,
            busy_wait=question.busy_wait,
        )

    def warm_up(self) -> Warmth:
        """Finds out how long warming takes."""
        answer = self._ask("warm_up_here", self.plan, self.plan.warm_up.most_seconds * 2)
        medians = cast("list[float]", answer["window_medians"])
        taken, seconds = cast("int", answer["inferences"]), cast("float", answer["seconds"])
        if not answer["steady"]:
            self.question.log(f"unsteady: the times did not settle within {seconds:.0f} s of warming up")
        return Warmth(
            inferences=taken,
            steady=bool(answer["steady"]),
            inner=cast("int", answer["inner"]),
            median_ns=statistics.median(medians) if medians else seconds * 1e9 / max(taken, 1),
            repeat_ratio=cast("float | None", answer["repeat_ratio"]),
            scrubbed=tuple(cast("list[str]", answer["scrubbed"])),
        )

    def run(self, order: int, warmth: Warmth) -> Run:
        """One run, made again while something outside voids it."""
        for _ in range(MOST_ATTEMPTS - 1):
            run, reason = self.attempt(order, warmth)
            if reason is None:
                return run
            self.voided.append(VoidedRun(order, reason))
            self.question.log(f"run {order + 1} is void and made again: {reason}")
        return self.attempt(order, warmth)[0]

    def attempt(self, order: int, warmth: Warmth) -> tuple[Run, str | None]:
        """One run, and what from outside voids it; None where nothing does."""
        preset = self.question.protocol.preset
        plan = replace(
            self.plan,
            inner=warmth.inner,
            warm_up_inferences=warmth.inferences,
            inferences=preset.run_inferences,
            seconds=preset.run_seconds,
        )
        expected_s = _expected_seconds(warmth, plan.warm_up_inferences + plan.inferences, plan.seconds)
        before = pressure()
        answer = self._ask("run_here", plan, expected_s)
        after = pressure()
        reason = _void_reason(before, after) or held_back(_clocks_of(answer))
        run = _run_of(answer, self.arm, order, after.stolen_since(before), disturbed=reason is not None)
        return run, reason

    def memory(self, warmth: Warmth) -> Memory:
        """Peak memory, in a process that times nothing."""
        answer = self._ask("memory_here", self.plan, _expected_seconds(warmth, HUNDRED, 0.0))
        names = ("import_bytes", "load_bytes", "first_bytes", "hundredth_bytes")
        return Memory(*(cast("int | None", answer[name]) for name in names))

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
            limits=Limits(deadline_s=_GRACE_S + expected_s, watch_s=_RARELY_S),
        )
        return cast("dict[str, object]", answer)


def _clocks_of(answer: dict[str, object]) -> tuple[Clocks, ...]:
    rows = cast("list[dict[str, object]]", answer["clocks"])
    return tuple(reading_of(row) for row in rows)


def _run_of(answer: dict[str, object], arm: str, order: int, stolen: float, *, disturbed: bool) -> Run:
    medians = tuple(cast("list[float]", answer["window_medians"]))
    device = answer["device_ns"]
    flags = {"disturbed": disturbed, "drift": abs(drift(medians)) > DRIFT_LIMIT}
    return Run(
        arm=arm,
        order=order,
        ns=tuple(cast("list[int]", answer["ns"])),
        window_medians=medians,
        import_ns=cast("int", answer["import_ns"]),
        load_ns=cast("int", answer["load_ns"]),
        first_ns=cast("int", answer["first_ns"]),
        stolen=round(stolen, 6),
        audited=cast("int", answer["audited"]),
        audit_error=cast("float | None", answer["audit_error"]),
        flags=tuple(name for name, up in flags.items() if up),
        device_ns=None if device is None else tuple(cast("list[int]", device)),
        clocks=_clocks_of(answer) or None,
    )


def _void_reason(before: Pressure, after: Pressure) -> str | None:
    stolen = after.stolen_since(before)
    if stolen > STOLEN_LIMIT:
        return f"the hypervisor took {stolen:.1%} of the processor time"
    if after.throttled > before.throttled:
        return "the processor throttled itself"
    return None


def problems_of(warmth: Warmth, runs: Sequence[Run], tolerance: float) -> tuple[str, ...]:
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
    return _PATIENCE * (seconds + inferences * max(warmth.median_ns, BATCH_BELOW_NS / 10) / 1e9)
