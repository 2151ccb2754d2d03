"""The rules of a gate-grade measurement as values: presets, warm-up, windows, and what voids a run.

``docs/measurement.md`` explains them. The unit of everything inferential is a run: a fresh process that imports, loads,
warms up and measures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgewright.benchmarks.harness.scenarios import SINGLE_STREAM, Scenario
from edgewright.core.errors import UsageError

BATCH_BELOW_NS = 100_000
"""Inferences shorter than this are timed several at a time (``batch_mean``): the clock itself takes some 50 ns."""
BATCH_NS = 1_000_000
DRIFT_LIMIT = 0.02
"""A run whose window medians change by more than this share from end to end carries the flag ``drift``."""
STOLEN_LIMIT = 0.02
"""A run is void when the hypervisor took more than this share of the time in which its cores had work."""
REPEAT_LIMIT = 0.90
"""One sample repeated must take at least this share of the time of distinct ones; less smells of a cache."""
REPEAT_SECONDS = 10.0
"""About how long that may take, once; a model for which it would take longer is not asked."""
MOST_ATTEMPTS = 3
"""How often a run is made before what disturbs it is accepted and flagged."""
HUNDRED = 100
"""The inference after which memory is read a last time."""
CPU_CLOCK_DROP_LIMIT = 0.05
"""A run is void when the cores' clock in its second half lies more than this share below that in its first."""
ENERGY_SECONDS, IDLE_SECONDS = 30.0, 10.0
"""How long inferences without a pause are counted at least, and the idle machine before them."""
SLOW_FACTOR = 4.0
LEAST_RUN_INFERENCES, LEAST_RUN_SECONDS = 64, 1.0


@dataclass(frozen=True)
class Preset:
    """How much is measured in all; both ``inferences`` and ``seconds`` must be reached, split evenly over the runs."""

    name: str
    inferences: int
    seconds: float
    runs: int
    energy: bool = False
    """Whether energy is measured too, where a counter can be read: it takes most of a minute."""

    @property
    def run_inferences(self) -> int:
        """The fewest inferences of one run."""
        return max(LEAST_RUN_INFERENCES, -(-self.inferences // self.runs))

    @property
    def run_seconds(self) -> float:
        """The fewest seconds of one run."""
        return max(LEAST_RUN_SECONDS, self.seconds / self.runs)

    def runs_for(self, inference_s: float) -> int:
        """How many runs an engine of this speed gets.

        A run of a slow one is made long by its 64 inferences; where all runs together would take more than
        :data:`SLOW_FACTOR` times the preset's seconds, there are only as many as its inferences fill.
        """
        if self.runs * self.run_inferences * inference_s <= SLOW_FACTOR * self.seconds:
            return self.runs
        return min(self.runs, max(1, -(-self.inferences // LEAST_RUN_INFERENCES)))


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        one.name: one
        for one in (
            Preset("rapid", 64, 6, 3),
            Preset("quick", 128, 10, 5),
            Preset("standard", 1024, 60, 10, energy=True),
            Preset("certify", 1024, 600, 20, energy=True),
        )
    }
)
"""The four of MLPerf's style: a look, a check, a report, a certificate."""


@dataclass(frozen=True)
class Windows:
    """Consecutive inferences whose median is one point of a series: at least ``inferences`` and ``seconds``.

    A window of a slow model ends after ``most_seconds`` all the same, or warming up would take minutes.
    """

    inferences: int = 20
    seconds: float = 0.2
    most_seconds: float = 2.0

    def is_full(self, inferences: int, seconds: float) -> bool:
        """True when that much makes a window."""
        return (inferences >= self.inferences and seconds >= self.seconds) or seconds >= self.most_seconds


@dataclass(frozen=True)
class WarmUp:
    """When an engine is warm: the last ``windows`` medians span less than ``span`` and their trend is below ``trend``.

    Found once per bundle and target; the count is then frozen for all runs. A machine that is not steady after
    ``most_seconds``, or ``least_inferences`` of a model for which they take longer, is not warming up but disturbed:
    the status is ``unsteady`` and each run warms for ``unsteady_seconds``. Where a run is told the larger count of an
    engine that it is compared with, it stops after ``shared_seconds``, though never short of its own count.
    """

    windows: int = 5
    span: float = 0.03
    trend: float = 0.01
    least_inferences: int = 10
    least_seconds: float = 1.0
    most_seconds: float = 30.0
    unsteady_seconds: float = 3.0
    shared_seconds: float = 10.0

    def longest(self, inference_ns: float) -> float:
        """Seconds after which an engine of that speed has had its chance to settle."""
        return max(self.most_seconds, self.least_inferences * inference_ns / 1e9)


@dataclass(frozen=True)
class Protocol:
    """All rules of one measurement."""

    preset: Preset
    windows: Windows = Windows()
    warm_up: WarmUp = WarmUp()
    scenario: Scenario = SINGLE_STREAM


def protocol_named(preset: str, scenario: Scenario = SINGLE_STREAM) -> Protocol:
    """The protocol of a preset.

    Raises:
        UsageError: when there is no such preset.
    """
    if preset not in PRESETS:
        raise UsageError(f"unknown preset '{preset}'", f"There are {', '.join(PRESETS)}.")
    return Protocol(PRESETS[preset], scenario=scenario)
