from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.plots import NARROW, WIDE, Caption, ForestRow, forest

CAPTION = Caption("k", "Title", "d")
SHAPES = {"pass": "ew-fgood", "regressed": "ew-fbad", "inconclusive": "ew-hopen", None: "ew-h6"}


def words(svg: str) -> str:
    return " ".join(element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text"))


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("verdict", ["pass", "regressed", "inconclusive", None])
def test_a_verdict_is_a_word_and_a_mark_of_its_own(verdict: Verdict | None, width: int) -> None:
    svg = forest([ForestRow("a", 1.01, (0.99, 1.03), verdict)], CAPTION, width=width)
    assert (verdict or "not judged") in words(svg)
    assert f'class="{SHAPES[verdict]}"' in svg
    assert not any(f'class="{other}"' in svg for key, other in SHAPES.items() if key != verdict)


def test_the_shapes_differ_without_colour() -> None:
    corners = set()
    for verdict in ("pass", "regressed", "inconclusive", None):
        mark = next(
            element
            for element in ET.fromstring(forest([ForestRow("a", 1.0, None, verdict)], CAPTION)).iter()
            if element.get("class") == SHAPES[verdict]
        )
        corners.add(mark.get("d", "circle").count("L"))
    assert len(corners) >= 3  # circle, triangle, four corners: straight or on their tip


def test_the_lines_stand_at_one_and_at_what_is_allowed() -> None:
    svg = forest([ForestRow("a", 1.0), ForestRow("b", 1.05)], CAPTION, delta=0.05)
    lines = {element.get("class"): element for element in ET.fromstring(svg).iter() if element.tag.endswith("line")}
    one, limit = float(lines["ew-one"].attrib["x1"]), float(lines["ew-limit"].attrib["x1"])
    marks = [element for element in ET.fromstring(svg).iter() if element.get("class") == "ew-h6" and len(element)]
    centres = [sum(map(float, corners(mark)[::2])) / 4 for mark in marks]
    assert centres == pytest.approx([one, limit], abs=0.1)
    assert "+5 % allowed" in words(svg)


def test_what_was_allowed_is_not_drawn_where_nobody_knows() -> None:
    svg = forest([ForestRow("a", 1.0), ForestRow("b", 1.05)], CAPTION, delta=None)
    assert 'class="ew-one"' in svg
    assert "ew-limit" not in svg
    assert "ew-band" not in svg
    assert "allowed" not in words(svg)


def corners(mark: ET.Element) -> list[str]:
    return mark.attrib["d"].strip("MZ").replace("L", " ").split()


@pytest.mark.parametrize("ratio", [None, 0.0, -1.0])
def test_what_has_no_ratio_says_why(ratio: float | None) -> None:
    text = words(forest([ForestRow("a", ratio, note="not on this machine")], CAPTION))
    assert "no ratio: not on this machine" in text
    assert "0.000" not in text
