"""Figures of one cell, derived from its raw blocks alone."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from edgewright.benchmarks.gpu_check.plan import BASELINE, precision_of
from edgewright.benchmarks.statistics import paired_ratio, percentile

Blocks = Sequence[Sequence[int]]
SERIES = ("wall_ns", "device_ns")


@dataclass(frozen=True)
class Ratio:
    """Time over another arm's, from the blocks of the same rounds: below 1 is faster."""

    value: float
    ci95: tuple[float, float] | None
    """None with fewer than six rounds."""


@dataclass(frozen=True)
class Figures:
    """One arm, in one boundary, by one clock; nanoseconds an inference."""

    median: float
    """Of the medians of its blocks."""
    p90: float
    """Of all inferences."""
    rounds: int
    to_eager: Ratio | None
    """Against eager float32."""
    to_compile: Ratio | None
    """Against torch.compile in the same precision."""


def figures_of(cell: Mapping[str, object]) -> dict[str, dict[str, dict[str, Figures]]]:
    """Arm -> boundary -> series (``wall_ns``, ``device_ns``) -> figures; only what was timed is in it.

    Arms are compared within one boundary and one series only, and round by round.
    """
    arms = cast("Mapping[str, Mapping[str, Mapping[str, Blocks]]]", cell["arms"])
    found: dict[str, dict[str, dict[str, Figures]]] = {}
    for name, arm in arms.items():
        for series in SERIES:
            for boundary, blocks in arm[series].items():
                eager, compiled = (
                    None if other == name else _blocks(arms, other, series, boundary)
                    for other in (BASELINE, f"compile-{precision_of(name)}")
                )
                figures = Figures(
                    median=statistics.median(statistics.median(block) for block in blocks),
                    p90=percentile([took for block in blocks for took in block], 0.9),
                    rounds=len(blocks),
                    to_eager=_ratio(blocks, eager),
                    to_compile=_ratio(blocks, compiled),
                )
                found.setdefault(name, {}).setdefault(boundary, {})[series] = figures
    return found


def _blocks(
    arms: Mapping[str, Mapping[str, Mapping[str, Blocks]]], name: str, series: str, boundary: str
) -> Blocks | None:
    return arms[name][series].get(boundary) if name in arms else None


def _ratio(blocks: Blocks, other: Blocks | None) -> Ratio | None:
    if other is None or len(other) != len(blocks):
        return None
    value, interval = paired_ratio(
        [statistics.median(one) for one in blocks], [statistics.median(one) for one in other]
    )
    return Ratio(value, interval)
