from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from edgewright.benchmarks.report.plots import NARROW, WIDE, Caption, waterfall
from edgewright.benchmarks.trace import TraceStep

CAPTION = Caption("k", "Title", "d")
STEPS = (
    TraceStep("original", "original", 40_000_000, 0.75, 10e6, (9.5e6, 10.5e6)),
    TraceStep("broken", "pass", None, None, None, note="no engine: Foo is not supported"),
    TraceStep("quantize", "pass", 10_000_000, 0.74, 4e6),
)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_changes_are_from_the_last_figure_there_was(width: int) -> None:
    words = texts(waterfall(STEPS, CAPTION, width=width))
    assert {"40 MB", "10 MB", "\N{MINUS SIGN}75 %", "10 ms", "4 ms", "\N{MINUS SIGN}60 %", "\N{MINUS SIGN}1"} <= set(
        words
    )


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_missing_figure_is_no_bar_but_words(width: int) -> None:
    svg = waterfall(STEPS, CAPTION, width=width)
    assert texts(svg).count("not measured") == 3
    assert "broken: no engine: Foo is not supported" in " ".join(texts(svg))
    bars = [element for element in ET.fromstring(svg).iter() if element.get("class") in ("ew-f1", "ew-f4")]
    assert len([bar for bar in bars if bar.tag.endswith("rect")]) == 4


def test_bars_are_as_long_as_their_figures() -> None:
    bars = [e for e in ET.fromstring(waterfall(STEPS, CAPTION)).iter() if e.get("class") == "ew-f1"]
    long, short = (float(bar.attrib["width"]) for bar in bars)
    assert long == pytest.approx(4 * short, rel=0.01)


def test_what_did_not_change_at_all_is_told_from_what_hardly_did() -> None:
    steps = [TraceStep(str(size), "pass", size, None, None) for size in (10_000_000, 10_000_000, 10_000_001)]
    words = texts(waterfall(steps, CAPTION))
    assert "=" in words
    assert "±0 %" in words


def test_a_metric_beyond_one_changes_in_its_own_unit() -> None:
    steps = [TraceStep("a", "original", None, 30.5, None), TraceStep("b", "pass", None, 28.0, None)]
    words = texts(waterfall(steps, CAPTION, metric="psnr"))
    assert "\N{MINUS SIGN}2.5" in words
    assert "points" not in words
