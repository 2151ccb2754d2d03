"""A candidate in the lane it ran in, with what was found out about it: what is chosen among."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgewright.benchmarks.statistics import paired_ratio

if TYPE_CHECKING:
    from edgewright.driver.job import Lane
    from edgewright.driver.search import Trial


@dataclass(frozen=True)
class Timed:
    """What a candidate took in one search-grade session, beside the float engine that took turns with it."""

    blocks_ms: tuple[float, ...]
    """The median of each of its blocks."""
    reference_ms: tuple[float, ...] = ()
    """The same of the float engine, round by round; empty where none ran beside it."""

    @property
    def median_ms(self) -> float:
        """Compares with others of the same session alone: machines drift between sessions."""
        return statistics.median(self.blocks_ms)

    @property
    def ratio(self) -> tuple[float, tuple[float, float] | None] | None:
        """Its time as a multiple of the float engine's, and the 95 % interval of that; None with nothing beside it."""
        rounds = min(len(self.blocks_ms), len(self.reference_ms))
        return None if not rounds else paired_ratio(self.blocks_ms[:rounds], self.reference_ms[:rounds])


@dataclass(frozen=True)
class Contender:
    """A trial with the lane it ran in and its verdicts."""

    lane: Lane
    trial: Trial
    holds: bool
    timed: Timed | None = field(default=None, compare=False)

    @property
    def time_ms(self) -> float | None:
        """Of its last session."""
        return None if self.timed is None else self.timed.median_ms

    @property
    def ratio(self) -> float | None:
        """Its time as a multiple of the fastest float engine's that holds; comparable between sessions."""
        found = None if self.timed is None else self.timed.ratio
        return None if found is None else found[0]

    @property
    def title(self) -> str:
        """``native/openvino int8 (conv)``, with the number of layers left in float."""
        kept = len(self.trial.choice.kept_float)
        rest = f" with {kept} layer{'s' if kept > 1 else ''} in float" if kept else ""
        return f"{self.lane.target.name} {self.trial.choice.title}{rest}"

    @property
    def key(self) -> tuple[str, str]:
        """Tells it from every other of a compile."""
        return self.lane.target.name, self.trial.choice.digest
