"""The side series: about once a second, from outside the measured processes, the cores' clock and the temperature.

It is the parent that reads, so that a child that measures is not held up by it. Linux's own files are read, ``cpufreq``
and ``thermal`` (docs.kernel.org/admin-guide/pm/cpufreq.html, docs.kernel.org/driver-api/thermal/sysfs-api.html); where
there is none, there is no series.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewright.benchmarks.harness.protocol import CPU_CLOCK_DROP_LIMIT
from edgewright.benchmarks.readings import SideReading

EVERY_S = 1.0
_CLOCKS_PER_READING = 4
"""The clock is looked at more often than it is kept, so that the short runs of pairs can be judged by it too."""
_FEWEST = 4
"""Looks at the clock of a run below which nothing is concluded from it."""
_COLDEST_C, _HOTTEST_C = -50.0, 150.0
"""Sensors that are switched off report figures beyond these."""


class SideSeries:
    """The series of one session, read by a thread from ``with`` to its end.

    Args:
        cpus: the cores that are used; None for all that this process may use.
        every_s: seconds between readings.
        sys, proc: where the system's files are.
    """

    def __init__(
        self,
        cpus: Sequence[int] | None = None,
        every_s: float = EVERY_S,
        sys: Path = Path("/sys"),
        proc: Path = Path("/proc"),
    ) -> None:
        self._cpus = tuple(_allowed() if cpus is None else cpus)
        self._every_s, self._sys, self._proc = every_s, sys, proc
        self._began = time.perf_counter_ns()
        self._readings: list[SideReading] = []
        self._clocks: list[tuple[int, float]] = []
        """When (``perf_counter_ns``, which parent and children read alike), and what ``cpufreq`` said. /proc/cpuinfo is
        no evidence: in a virtual machine it has a constant or somebody else's clock."""
        self._now: tuple[str, int] | None = None
        self._end = threading.Event()
        self._reader: threading.Thread | None = None

    @property
    def readings(self) -> tuple[SideReading, ...]:
        """So far, oldest first; none where the machine says nothing."""
        return tuple(self._readings)

    def __enter__(self) -> Self:
        if self.read():
            self._reader = threading.Thread(target=self._keep_reading, name="side-series", daemon=True)
            self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        if self._reader is not None:
            self._reader.join()

    @contextlib.contextmanager
    def during(self, arm: str, order: int) -> Iterator[None]:
        """Readings taken meanwhile belong to that run."""
        self._now = (arm, order)
        try:
            yield
        finally:
            self._now = None

    def read(self) -> bool:
        """Takes a reading now; False where the machine says nothing."""
        clock, temperature = self.look(), self._temperature_c()
        if clock is None:
            clock = self._told_mhz()
        if clock is None and temperature is None:
            return False
        arm, order = self._now or (None, None)
        seconds = round((time.perf_counter_ns() - self._began) / 1e9, 3)
        self._readings.append(SideReading(seconds, clock, temperature, arm, order))
        return True

    def look(self) -> float | None:
        """Notes the clock now, the mean over the cores in MHz, as evidence; None where the kernel does not say."""
        folder = self._sys / "devices/system/cpu"
        found = [_number(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq") for cpu in self._cpus]
        kilohertz = [one for one in found if one is not None and one > 0]
        if not kilohertz:
            return None
        self._clocks.append((time.perf_counter_ns(), round(statistics.fmean(kilohertz) / 1000, 1)))
        return self._clocks[-1][1]

    def clock_fell(self, began_ns: int, ended_ns: int) -> str | None:
        """Why what ran between these moments is void: the clock of its cores fell for good; None where it did not.

        Single readings jump by several percent on a machine with turbo, so that halves are compared by their medians.
        """
        clocks = [clock for moment, clock in list(self._clocks) if began_ns <= moment <= ended_ns]
        if len(clocks) < _FEWEST:
            return None
        half = len(clocks) // 2
        before, after = statistics.median(clocks[:half]), statistics.median(clocks[-half:])
        if after >= (1 - CPU_CLOCK_DROP_LIMIT) * before:
            return None
        return f"the clock of its cores fell from {before:.0f} to {after:.0f} MHz"

    def _keep_reading(self) -> None:
        looks = 0
        while not self._end.wait(self._every_s / _CLOCKS_PER_READING):
            looks += 1
            if looks % _CLOCKS_PER_READING == 0:
                self.read()
            else:
                self.look()

    def _told_mhz(self) -> float | None:
        """The mean over the cores as /proc/cpuinfo has it."""
        told = self._cpuinfo()
        megahertz = [told[cpu] for cpu in self._cpus if cpu in told]
        return round(statistics.fmean(megahertz), 1) if megahertz else None

    def _cpuinfo(self) -> dict[int, float]:
        """MHz by the number of the core, as x86 has it in /proc/cpuinfo; other machines say nothing there."""
        found: dict[int, float] = {}
        cpu = -1
        for line in _text(self._proc / "cpuinfo").splitlines():
            name, _, value = line.partition(":")
            with contextlib.suppress(ValueError):
                if name.strip() == "processor":
                    cpu = int(value)
                elif name.strip() == "cpu MHz":
                    found[cpu] = float(value)
        return found

    def _temperature_c(self) -> float | None:
        zones = [_number(path) for path in sorted((self._sys / "class/thermal").glob("thermal_zone*/temp"))]
        celsius = [one / 1000 for one in zones if one is not None and _COLDEST_C < one / 1000 < _HOTTEST_C]
        return round(max(celsius), 1) if celsius else None


def _allowed() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _number(path: Path) -> float | None:
    try:
        return float(_text(path))
    except ValueError:
        return None


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
