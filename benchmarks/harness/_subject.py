"""The engine in a timed child process: opened by its plan, timed in its parts, fed with its samples in turn."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from edgewright.backends import Artifact, Session, registry
from edgewright.benchmarks.harness.protocol import WarmUp, Windows
from edgewright.benchmarks.harness.scenarios import ScenarioName
from edgewright.core.bundle.golden import read_samples
from edgewright.core.errors import EngineError
from edgewright.core.tensors import Feeds, Outputs

QUIET = "ORT_DISABLE_TELEMETRY"
"""Not scrubbed: it changes no figure, and without it the engine would write to HOME."""
SCRUBBED = (
    *("OMP_", "GOMP_", "KMP_", "MKL_", "DNNL_", "ONEDNN_", "TBB_", "OV_", "OPENVINO_", "ORT_", "ONNXRUNTIME_"),
    *("BLIS_", "VECLIB_", "NUMEXPR_", "CUDA_LAUNCH", "NVIDIA_TF32"),
)
"""Variables that begin so change what engines do; they are removed before an engine is loaded."""


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
    warm_up_needed: int = 0
    """How many of those this engine needs itself; the others may be cut short."""
    inferences: int = 0
    seconds: float = 0.0
    gpu: bool = False
    """Whether it runs on an NVIDIA GPU, whose clocks are then read on the way."""
    scenario: ScenarioName = "single-stream"
    rate_per_s: float | None = None
    """Samples that arrive in a second; None where each is asked for when the last is done."""
    seed: tuple[int, ...] = (0,)
    """Of the arrivals of this run."""
    busy_wait: float = 0.0
    """Share of an inference's time that is waited after it, inside the timed span."""

    @classmethod
    def read(cls, path: str) -> Plan:
        """The plan in a file."""
        data = json.loads(Path(path).read_text())
        data["windows"], data["warm_up"] = Windows(**data["windows"]), WarmUp(**data["warm_up"])
        data["seed"] = tuple(data["seed"])
        data["cpus"] = None if data["cpus"] is None else tuple(data["cpus"])
        return cls(**data)


class Subject:
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


def scrub_environment() -> list[str]:
    """Removes the variables that change what engines do, before one is loaded; gives their names."""
    names = sorted(name for name in os.environ if name.startswith(SCRUBBED) and name != QUIET)
    for name in names:
        del os.environ[name]
    return names


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


def _wait_from(start: int, share: float) -> None:
    """Keeps the core busy for that share of the time since ``start``."""
    now = time.perf_counter_ns()
    until = now + share * (now - start)
    while time.perf_counter_ns() < until:
        pass
