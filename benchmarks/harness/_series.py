"""What is collected inside a timed loop: times with the medians of their windows, and a GPU's clocks."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import asdict

from edgewright.benchmarks.harness.nvml import this_gpu
from edgewright.benchmarks.harness.protocol import BATCH_NS, WarmUp, Windows
from edgewright.benchmarks.statistics import drift


class Series:
    """Times collected one by one, and the medians of their windows.

    Args:
        windows: what makes one.
        inner: inferences in each time.
        since: when the first window began; None is now.
    """

    def __init__(self, windows: Windows, inner: int, since: int | None = None) -> None:
        self.times: list[int] = []
        self.medians: list[float] = []
        self._windows, self._inner = windows, inner
        self._begin, self._since = 0, time.perf_counter_ns() if since is None else since

    def add(self, took: int, done: int | None = None) -> bool:
        """Takes a time, which was over at ``done`` or now; true when it filled a window."""
        self.times.append(took)
        now = time.perf_counter_ns() if done is None else done
        inferences = (len(self.times) - self._begin) * self._inner
        if not self._windows.is_full(inferences, (now - self._since) / 1e9):
            return False
        self.medians.append(statistics.median(self.times[self._begin :]) / self._inner)
        self._begin, self._since = len(self.times), time.perf_counter_ns() if done is None else done
        return True


class Clocks:
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
