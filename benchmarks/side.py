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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewright.benchmarks.protocol import CPU_CLOCK_DROP_LIMIT
from edgewright.benchmarks.record import SideReading

EVERY_S = 1.0
_FEWEST = 4
"""Readings of a run below which nothing is concluded from its clock."""
_COLDEST_C, _HOTTEST_C = -50.0, 150.0
"""Sensors that are switched off report figures beyond these."""


@dataclass(frozen=True)
class _Stamped:
    ns: int
    """Of ``perf_counter_ns``, which parent and children read alike."""
    reading: SideReading
    real_clock: bool
    """Whether the kernel measures or sets the clock (``cpufreq``); what /proc/cpuinfo says in a virtual machine is a
    constant or somebody else's clock."""


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
        self._stamped: list[_Stamped] = []
        self._now: tuple[str, int] | None = None
        self._end = threading.Event()
        self._reader: threading.Thread | None = None

    @property
    def readings(self) -> tuple[SideReading, ...]:
        """So far, oldest first; none where the machine says nothing."""
        return tuple(one.reading for one in self._stamped)

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
        clock, real = self._clock_mhz()
        temperature = self._temperature_c()
        if clock is None and temperature is None:
            return False
        now = time.perf_counter_ns()
        arm, order = self._now or (None, None)
        seconds = round((now - self._began) / 1e9, 3)
        self._stamped.append(_Stamped(now, SideReading(seconds, clock, temperature, arm, order), real))
        return True

    def clock_fell(self, began_ns: int, ended_ns: int) -> str | None:
        """Why what ran between these moments is void: the clock of its cores fell for good; None where it did not.

        Single readings jump by several percent on a machine with turbo, so that halves are compared by their medians.
        """
        clocks = [
            one.reading.cpu_mhz
            for one in list(self._stamped)
            if began_ns <= one.ns <= ended_ns and one.real_clock and one.reading.cpu_mhz is not None
        ]
        if len(clocks) < _FEWEST:
            return None
        half = len(clocks) // 2
        before, after = statistics.median(clocks[:half]), statistics.median(clocks[-half:])
        if after >= (1 - CPU_CLOCK_DROP_LIMIT) * before:
            return None
        return f"the clock of its cores fell from {before:.0f} to {after:.0f} MHz"

    def _keep_reading(self) -> None:
        while not self._end.wait(self._every_s):
            self.read()

    def _clock_mhz(self) -> tuple[float | None, bool]:
        """The mean over the cores, and whether the kernel itself knows it."""
        folder = self._sys / "devices/system/cpu"
        found = [_number(folder / f"cpu{cpu}/cpufreq/scaling_cur_freq") for cpu in self._cpus]
        kilohertz = [one for one in found if one is not None and one > 0]
        if kilohertz:
            return round(statistics.fmean(kilohertz) / 1000, 1), True
        told = self._cpuinfo()
        megahertz = [told[cpu] for cpu in self._cpus if cpu in told]
        return (round(statistics.fmean(megahertz), 1) if megahertz else None), False

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
