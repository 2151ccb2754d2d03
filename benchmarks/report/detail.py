"""How much of each variant a page shows, so that one with many variants stays light."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgewright.benchmarks.report.blocks import OneSize

LIMIT_BYTES = 480_000
"""What a page should stay below: it is sent by mail, kept by CI for every build, and opened on phones."""


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
    side: bool = True
    """Clocks and temperatures under the runs."""
    traced: bool = True
    """Drawings of passes, layers and classes beside their tables."""
    note: str = ""
    """What is left out."""


_FEWER = "For more of each variant, report fewer at a time."
_LIGHTER = Detail(
    single="narrow",
    layers=8,
    classes=8,
    remarks=12,
    note=f"There are many variants here, so the 8 layers and classes that matter most of each are shown. {_FEWER}",
)
_LIGHT = Detail(
    single="narrow",
    layers=6,
    classes=6,
    remarks=6,
    side=False,
    traced=False,
    note=(
        "There are many variants here, so passes, layers and classes are listed without drawings, the 6 that matter "
        f"most of each, and clocks and temperatures are left out. {_FEWER}"
    ),
)
LEVELS = (Detail(), _LIGHTER, _LIGHT, replace(_LIGHT, overview="wide", windows=500))
"""From all there is to the least."""
