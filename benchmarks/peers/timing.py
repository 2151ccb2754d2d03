"""Fresh timed processes of artifacts, made again while something outside voids them, as a gate's are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from session import RunFailedError
from timed_run import Effort

from edgewright.benchmarks.harness._attempts import void_reason
from edgewright.benchmarks.harness.machine import pressure
from edgewright.benchmarks.harness.protocol import MOST_ATTEMPTS

HERE = Path(__file__).resolve().parent
DEADLINE_S = 600


@dataclass(frozen=True)
class Arm:
    """One artifact with the way to open it; see `engines.py`."""

    model: Path
    engine: str
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """Of the file and of what a runtime keeps beside it."""
        beside = (self.model.with_suffix(".bin"), self.model.with_name(f"{self.model.name}.data"))
        return self.model.stat().st_size + sum(path.stat().st_size for path in beside if path.is_file())


@dataclass
class Timer:
    """Runs of one case's artifacts on the same samples, threads and cores.

    Attributes:
        arms: the artifacts by name.
        feeds: evaluation data; the first samples of it are cycled.
        ranks: how many axes each input has.
        threads: compute threads, each with a core.
        disturbed: runs that were made again, or kept at the third attempt.
    """

    arms: Mapping[str, Arm]
    feeds: Path
    ranks: Mapping[str, int]
    threads: int
    disturbed: int = 0

    def run(self, name: str, effort: Effort) -> float:
        """Median nanoseconds an inference, from a process that nothing outside disturbed, if that can be had.

        Raises:
            RunFailedError: the process failed.
        """
        for _ in range(MOST_ATTEMPTS):
            took, reason = self._attempt(name, effort)
            if reason is None:
                break
            self.disturbed += 1
        return took

    def pair(self, first: str, second: str, effort: Effort) -> tuple[float, float]:
        """Adjacent runs of two artifacts, made again together while either is disturbed.

        Raises:
            RunFailedError: a process failed.
        """
        for _ in range(MOST_ATTEMPTS):
            (one, why), (other, why_too) = (self._attempt(name, effort) for name in (first, second))
            if why is None and why_too is None:
                break
            self.disturbed += 1
        return one, other

    def _attempt(self, name: str, effort: Effort) -> tuple[float, str | None]:
        cpus = sorted(os.sched_getaffinity(0))[: self.threads]
        before = pressure(cpus)
        took = self._process(self.arms[name], effort)
        return took, void_reason(before, pressure(cpus))

    def _process(self, arm: Arm, effort: Effort) -> float:
        command = [sys.executable, str(HERE / "timed_run.py"), str(arm.model), "--engine", arm.engine]
        command += ["--feeds", str(self.feeds), "--ranks", json.dumps(dict(self.ranks))]
        command += ["--properties", json.dumps(dict(arm.properties)), "--threads", str(self.threads)]
        command += ["--effort", json.dumps(asdict(effort))]
        threads = {key: str(self.threads) for key in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
        environment = {"PATH": os.environ.get("PATH", ""), "ORT_DISABLE_TELEMETRY": "1", **threads}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=DEADLINE_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise RunFailedError(f"not finished after {DEADLINE_S} s") from None
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            raise RunFailedError(lines[-1].replace(str(arm.model), arm.model.name)[:200])
        return float(json.loads(done.stdout.splitlines()[-1])["median_ns"])
