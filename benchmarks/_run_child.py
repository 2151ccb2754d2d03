"""The child's side of a gate-grade measurement: what happens in each fresh process.

Three errands, each a process of its own: :func:`warm_up_here` finds out how long warming takes, :func:`run_here` is one
run, :func:`memory_here` reads peak memory. Plans and answers are JSON; times are nanoseconds of ``perf_counter_ns``.
"""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgewright.backends import Artifact, Session, registry
from edgewright.benchmarks.nvml import this_gpu
from edgewright.benchmarks.protocol import (
    BATCH_BELOW_NS,
    BATCH_NS,
    HUNDRED,
    MOST_ATTEMPTS,
    REPEAT_LIMIT,
    WarmUp,
    Windows,
)
from edgewright.benchmarks.statistics import drift
from edgewright.core.bundle.golden import read_samples
from edgewright.core.compare import worst_error
from edgewright.core.errors import EngineError
from edgewright.core.tensors import Feeds, Outputs

_SCRUBBED = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "TBB_", "OV_", "OPENVINO_", "ORT_", "ONNXRUNTIME_"),
    *("BLIS_", "VECLIB_", "NUMEXPR_", "CUDA_LAUNCH", "NVIDIA_TF32"),
)
"""Variables that begin so change what engines do; they are removed before an engine is loaded."""
_PROBING_RUNS = 7
_CLOCKS_EVERY_NS = 1_000_000_000
_REPEAT_BLOCKS, _REPEAT_SECONDS = 7, 0.05


@dataclass(frozen=True)
class Plan:
    """What a child is told."""

    artifact: dict[str, object]
    samples: str
    expected: str | None
    """A file with the right answers to the samples, or None: then the engine's own untimed answers are right."""
    threads: int
    cpus: tuple[int, ...] | None
    windows: Windows
    warm_up: WarmUp
    inner: int = 1
    """Inferences timed together."""
    warm_up_inferences: int = 0
    inferences: int = 0
    seconds: float = 0.0
    gpu: bool = False
    """Whether it runs on an NVIDIA GPU, whose clocks are then read on the way."""
    busy_wait: float = 0.0
    """Share of an inference's time that is waited after it, inside the timed span."""

    @classmethod
    def read(cls, path: str) -> Plan:
        """The plan in a file."""
        data = json.loads(Path(path).read_text())
        data["windows"], data["warm_up"] = Windows(**data["windows"]), WarmUp(**data["warm_up"])
        data["cpus"] = None if data["cpus"] is None else tuple(data["cpus"])
        return cls(**data)


class _Subject:
    """An engine being measured: opened here, timed in its parts, fed with its samples in turn."""

    def __init__(self, plan: Plan) -> None:
        self.scrubbed = scrub_environment()
        if plan.cpus is not None:
            os.sched_setaffinity(0, plan.cpus)
        artifact = Artifact.from_json(plan.artifact)  # type: ignore[arg-type]
        with Path(plan.samples).open("rb") as file:
            self.samples: list[Feeds] = list(read_samples(file, artifact.inputs, "benchmark inputs"))
        self.right = _right_answers(plan, artifact)
        start = time.perf_counter_ns()
        backend = registry().find(artifact.backend)()
        found = backend.probe()
        self.import_ns = time.perf_counter_ns() - start
        if not found.present:
            raise EngineError(f"{artifact.backend} is not here: {found.reason}", found.remedy)
        self.memory_after_import = peak_memory()
        start = time.perf_counter_ns()
        self.session: Session = backend.open(artifact, plan.threads)
        self.load_ns = time.perf_counter_ns() - start
        self.memory_after_load = peak_memory()
        self.turn = 0
        """The number of the next sample."""
        self._slow = plan.busy_wait
        start = time.perf_counter_ns()
        self.session.run(self.samples[0])
        self.first_ns = time.perf_counter_ns() - start

    def timed(self, inner: int) -> tuple[int, int, Outputs]:
        """Nanoseconds of ``inner`` inferences, the number of the last sample, and what was answered to it."""
        samples, run, count, at = self.samples, self.session.run, len(self.samples), self.turn
        if inner == 1:
            feeds = samples[at]
            start = time.perf_counter_ns()
            answer = run(feeds)
            if self._slow:
                _wait_from(start, self._slow)
            took = time.perf_counter_ns() - start
            self.turn = (at + 1) % count
            return took, at, answer
        turn = [samples[(at + step) % count] for step in range(inner)]
        start = time.perf_counter_ns()
        for feeds in turn:
            answer = run(feeds)
        if self._slow:
            _wait_from(start, self._slow)
        took = time.perf_counter_ns() - start
        self.turn = (at + inner) % count
        return took, (at + inner - 1) % count, answer


def _wait_from(start: int, share: float) -> None:
    """Keeps the core busy for that share of the time since ``start``."""
    now = time.perf_counter_ns()
    until = now + share * (now - start)
    while time.perf_counter_ns() < until:
        pass


class _Series:
    """Times collected one by one, and the medians of their windows."""

    def __init__(self, windows: Windows, inner: int) -> None:
        self.times: list[int] = []
        self.medians: list[float] = []
        self._windows, self._inner = windows, inner
        self._begin, self._since = 0, time.perf_counter_ns()

    def add(self, took: int) -> bool:
        """Takes a time; true when it filled a window."""
        self.times.append(took)
        now = time.perf_counter_ns()
        inferences = (len(self.times) - self._begin) * self._inner
        if not self._windows.is_full(inferences, (now - self._since) / 1e9):
            return False
        self.medians.append(statistics.median(self.times[self._begin :]) / self._inner)
        self._begin, self._since = len(self.times), time.perf_counter_ns()
        return True


class _Clocks:
    """Readings of the GPU's clocks: when timing begins, about once a second between inferences, and when it ends."""

    def __init__(self, wanted: bool) -> None:
        self.readings: list[dict[str, object]] = []
        self._wanted, self._last = wanted, 0

    def read(self, least_ns: int = 0) -> None:
        """Takes a reading, unless the last is younger than ``least_ns``."""
        if not self._wanted or time.perf_counter_ns() - self._last < least_ns:
            return
        reading = this_gpu().clocks()
        self._last = time.perf_counter_ns()
        if reading is not None:
            self.readings.append(asdict(reading))


def warm_up_here(plan: str) -> dict[str, object]:
    """How many inferences make the engine warm, and whether it ever was; see :class:`WarmUp`."""
    told = Plan.read(plan)
    rule = told.warm_up
    subject = _Subject(told)
    typical = statistics.median(subject.timed(1)[0] for _ in range(_PROBING_RUNS))
    inner = 1 if typical >= BATCH_BELOW_NS else batch_size(typical, len(subject.samples))
    series = _Series(told.windows, inner)
    begin = time.perf_counter_ns()
    steady, seconds = False, 0.0
    gc.collect()
    gc.disable()
    while not steady and seconds < rule.most_seconds:
        full = series.add(subject.timed(inner)[0])
        seconds = (time.perf_counter_ns() - begin) / 1e9
        enough = seconds >= rule.least_seconds and len(series.times) * inner >= rule.least_inferences
        steady = full and enough and is_steady(series.medians, rule)
    taken = len(series.times) * inner
    if not steady:
        taken = max(rule.least_inferences, round(taken * min(1.0, rule.unsteady_seconds / seconds)))
    return {
        "inferences": taken,
        "steady": steady,
        "seconds": seconds,
        "inner": inner,
        "window_medians": series.medians,
        "repeat_ratio": _repeat_audit(subject, inner),
        "scrubbed": subject.scrubbed,
    }


def run_here(plan: str) -> dict[str, object]:
    """One run: warm for the frozen count, then measure, then audit what was answered on the way."""
    told = Plan.read(plan)
    subject = _Subject(told)
    gc.collect()
    gc.disable()
    for _ in range(-(-told.warm_up_inferences // told.inner)):
        subject.timed(told.inner)
    series = _Series(told.windows, told.inner)
    kept: list[tuple[int, Outputs]] = []
    keep_at = 1
    device: list[int] = []
    clocks = _Clocks(told.gpu)
    clocks.read()
    begin = time.perf_counter_ns()
    while len(series.times) * told.inner < told.inferences or time.perf_counter_ns() - begin < told.seconds * 1e9:
        took, sample, answer = subject.timed(told.inner)
        if subject.session.device_ns is not None:
            device.append(subject.session.device_ns)
        if series.add(took):
            clocks.read(_CLOCKS_EVERY_NS)
        if len(series.times) == keep_at:
            # Growing steps: early and late answers both, never many of them, and not always to the same sample.
            kept.append((sample, {name: np.array(array) for name, array in answer.items()}))
            keep_at = keep_at * 3 // 2 + 1
    clocks.read()
    gc.enable()
    return {
        "ns": series.times,
        "device_ns": device or None,
        "clocks": clocks.readings,
        "window_medians": series.medians,
        "import_ns": subject.import_ns,
        "load_ns": subject.load_ns,
        "first_ns": subject.first_ns,
        "audited": len(kept),
        "audit_error": _audit(subject, kept),
    }


def memory_here(plan: str) -> dict[str, object]:
    """Peak resident bytes (``VmHWM``) after each stage; None where the system does not say."""
    subject = _Subject(Plan.read(plan))
    first = peak_memory()
    for _ in range(HUNDRED - 1):
        subject.timed(1)
    return {
        "import_bytes": subject.memory_after_import,
        "load_bytes": subject.memory_after_load,
        "first_bytes": first,
        "hundredth_bytes": peak_memory(),
    }


def scrub_environment() -> list[str]:
    """Removes the variables that change what engines do, before one is loaded; gives their names."""
    names = sorted(name for name in os.environ if name.startswith(_SCRUBBED))
    for name in names:
        del os.environ[name]
    return names


def batch_size(typical_ns: float, samples: int) -> int:
    """How many inferences make a batch of about a millisecond.

    It has no divisor in common with the number of samples, so that batches end with each of them in turn.
    """
    size = max(2, round(BATCH_NS / max(typical_ns, 1)))
    while math.gcd(size, samples) > 1:
        size += 1
    return size


def is_steady(medians: list[float], rule: WarmUp) -> bool:
    """The rule of :class:`WarmUp` on the windows so far."""
    last = medians[-rule.windows :]
    if len(last) < rule.windows:
        return False
    middle = statistics.median(last)
    return (max(last) - min(last)) / middle < rule.span and abs(drift(last)) < rule.trend


def peak_memory() -> int | None:
    """``VmHWM`` of this process in bytes. (``ru_maxrss`` of a child starts at its parent's.)"""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _right_answers(plan: Plan, artifact: Artifact) -> list[Outputs] | None:
    if plan.expected is None:
        return None
    with Path(plan.expected).open("rb") as file:
        return read_samples(file, artifact.outputs, "expected answers")


def _audit(subject: _Subject, kept: list[tuple[int, Outputs]]) -> float | None:
    """The worst error of the kept answers; None for one that is infinitely far off."""
    worst = 0.0
    for sample, answer in kept:
        right = subject.session.run(subject.samples[sample]) if subject.right is None else subject.right[sample]
        worst = max(worst, worst_error(answer, right)[1])
    return worst if np.isfinite(worst) else None


def _repeat_audit(subject: _Subject, inner: int) -> float | None:
    """The largest of up to three ratios: a cache of answers shows every time, other work on the machine does not."""
    worst: float | None = None
    for _ in range(MOST_ATTEMPTS):
        ratio = _repeat_ratio(subject, inner)
        if ratio is None or ratio >= REPEAT_LIMIT:
            return ratio
        worst = ratio if worst is None else max(worst, ratio)
    return worst


def _repeat_ratio(subject: _Subject, inner: int) -> float | None:
    """Time of one sample repeated over that of distinct ones, by medians of alternating blocks.

    None for a single sample, and for samples of several shapes: there the first may simply be smaller.
    """
    if len(subject.samples) < 2 or len({tuple(a.shape for a in one.values()) for one in subject.samples}) > 1:
        return None
    distinct, repeated = subject.samples, subject.samples[:1]
    medians: dict[bool, list[float]] = {False: [], True: []}
    for block in range(2 * _REPEAT_BLOCKS):
        again = bool(block % 2)
        subject.samples, subject.turn = (repeated if again else distinct), 0
        times: list[int] = []
        begin = time.perf_counter_ns()
        while len(times) < 3 or time.perf_counter_ns() - begin < _REPEAT_SECONDS * 1e9:
            times.append(subject.timed(inner)[0])
        medians[again].append(statistics.median(times))
    subject.samples = distinct
    return statistics.median(medians[True]) / statistics.median(medians[False])
