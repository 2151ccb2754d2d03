from __future__ import annotations

import re
from collections.abc import Mapping

import pytest

from edgewright.benchmarks.report.plots import Caption, ForestRow, forest, responsive, standalone
from edgewright.benchmarks.report.plots.style import DARK, LIGHT, SERIES, STYLE


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_text_and_marks_stand_out_from_paper(colours: Mapping[str, str]) -> None:
    for name in ("ink", "muted"):
        assert contrast(colours[name], colours["paper"]) >= 4.5
        assert contrast(colours[name], colours["band"]) >= 4.5
    for name in (*SERIES, "good", "bad", "open", "axis"):
        assert contrast(colours[name], colours["paper"]) >= 3, name


def test_every_class_in_use_has_a_rule() -> None:
    rows = [ForestRow("a", 1.0, (0.9, 1.1), verdict) for verdict in ("pass", "regressed", "inconclusive", None)]
    used = {
        name for css in re.findall(r'class="([^"]*)"', forest(rows, Caption("k", "t", "d"))) for name in css.split()
    }
    assert len(used) > 10
    assert all(f".{name}" in STYLE for name in used)


def test_the_page_shows_one_of_two_layouts() -> None:
    html = responsive(lambda width: f"<i>{width}</i>")
    assert html.count("<i>") == 2
    assert "@container" in STYLE


def test_a_file_carries_its_title_and_its_colours() -> None:
    drawing = forest([ForestRow("a", 1.0)], Caption("k", "Ratios & <more>", "d"))
    light, dark = standalone(drawing), standalone(drawing, dark=True)
    assert light.count("Ratios &amp; &lt;more&gt;") == 2  # what it is called, and what is written above it
    assert LIGHT["ink"] in light
    assert LIGHT["ink"] not in dark
    assert DARK["ink"] in dark
    assert re.search(r'<svg [^>]*width="\d+" height="[\d.]+"', light)
