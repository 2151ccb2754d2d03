from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise

from edgewright.benchmarks.report.plots import NARROW, WIDE, Caption, DetectedStep, HistoryPoint, history

CAPTION = Caption("k", "Title", "d")
POINTS = [HistoryPoint(f"{index:02x}00c0ffee", 1e6 if index < 20 else 1.1e6) for index in range(40)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_step_is_a_line_between_two_points_with_its_change() -> None:
    svg = history(POINTS, [DetectedStep(20, 1e6, 1.1e6)], CAPTION, metric="p50", unit="ns")
    root = ET.fromstring(svg)
    places = sorted(float(element.attrib["cx"]) for element in root.iter() if len(element) and element.get("cx"))
    lines = [float(e.attrib["x1"]) for e in root.iter() if e.get("class") == "ew-limit" and e.get("y2") != e.get("y1")]
    assert len(lines) == 1
    assert places[19] < lines[0] < places[20]
    assert "▲ +10 %" in texts(svg)
    assert "1400c0ff" in texts(svg)  # the commit after the step is named


def test_a_commit_without_a_figure_is_marked_and_told() -> None:
    points = [*POINTS[:3], HistoryPoint("c0ffee00", None, note="the build failed")]
    svg = history(points, [], CAPTION, metric="p50", unit="ns")
    marks = [element for element in ET.fromstring(svg).iter() if len(element) and element.get("cx")]
    assert len(marks) == 3
    assert "no figure at 1 of 4 commits: the build failed" in " ".join(texts(svg))


def test_a_tag_is_not_cut_like_a_hash() -> None:
    assert "v1.2.0-rc1" in texts(history([HistoryPoint("v1.2.0-rc1", 1.0)], [], CAPTION, metric="m", width=NARROW))


def test_names_of_commits_do_not_touch() -> None:
    for width in (WIDE, NARROW):
        root = ET.fromstring(history(POINTS, [], CAPTION, metric="p50", width=width))
        low = max(float(e.attrib["y"]) for e in root.iter() if e.get("class") == "ew-s")
        names = sorted(
            float(e.attrib["x"]) for e in root.iter() if e.get("class") == "ew-s" and float(e.attrib["y"]) == low
        )
        assert len(names) >= 3
        assert min(b - a for a, b in pairwise(names)) >= 62
