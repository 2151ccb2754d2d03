"""How much of each variant a page shows, so that one with many variants stays light."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgewright.benchmarks.report.blocks import OneSize

LIMIT_BYTES = 480_000
"""What a page should stay below: it is sent by mail, kept by CI for every build, and opened on phones."""
TOO_MUCH = f"This page is larger than the {LIMIT_BYTES // 1000} kB it should stay below: it shows too much at once."
"""What a page says that does not, even with the least detail."""


@dataclass(frozen=True)
class Detail:
    """One level of detail; the tables of results are the same in all."""

    single: OneSize | None = None
    """The size of a drawing of a single variant; None is one for wide and one for narrow windows."""
    overview: OneSize | None = None
    """The size of a drawing of all variants."""
    windows: int = 2000
    """Window medians that are embedded, over all variants."""
    layers: int = 16
    classes: int = 20
    """How many of each are listed and drawn, for each variant."""
    remarks: int = 40
    """How much of what was left as it was is listed, for each variant."""
    points: int = 200
    """The newest points of each line of a history that are drawn, listed and embedded."""
    side: bool = True
    """Clocks and temperatures under the runs."""
    traced: bool = True
    """Drawings of passes, layers and classes beside their tables."""
    note: str = ""
    """What is left out."""


_FEWER = "For more of each, report fewer at a time."
_LIGHTER = Detail(
    single="narrow",
    layers=8,
    classes=8,
    remarks=12,
    points=100,
    note=(
        "There are many variants or points here, so the 8 layers and classes that matter most of each variant are "
        f"shown, and the newest 100 points of each history. {_FEWER}"
    ),
)
_LIGHT = Detail(
    single="narrow",
    layers=6,
    classes=6,
    remarks=6,
    points=50,
    side=False,
    traced=False,
    note=(
        "There are many variants or points here, so passes, layers and classes are listed without drawings, the 6 that "
        "matter most of each variant; clocks and temperatures are left out; and of each history the newest points are "
        f"shown. {_FEWER}"
    ),
)
LEVELS = (Detail(), _LIGHTER, _LIGHT, replace(_LIGHT, overview="wide", windows=500, points=20))
"""From all there is to the least."""
