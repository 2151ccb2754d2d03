from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.benchmarks.report.plots import NARROW, WIDE, Caption, ParetoPoint, pareto
from edgewright.benchmarks.report.plots.lettering import text_width

CAPTION = Caption("k", "Title", "d")
MS = 1e6
BEST = ParetoPoint("fast", 1 * MS, 0.70, 10_000_000, "int8")
EXACT = ParetoPoint("exact", 4 * MS, 0.75, 40_000_000, "float32")
BEATEN = ParetoPoint("beaten", 5 * MS, 0.72, 40_000_000, "float32")


def hovers(svg: str, css: str) -> list[str]:
    marks = [element for element in ET.fromstring(svg).iter() if element.get("class") == css]
    return [mark[0].text or "" for mark in marks if len(mark)]


def test_what_nothing_beats_is_full_and_the_rest_hollow() -> None:
    svg = pareto([BEST, EXACT, BEATEN], CAPTION)
    assert [words.partition(":")[0] for words in hovers(svg, "ew-f2")] == ["exact"]
    assert [words.partition(":")[0] for words in hovers(svg, "ew-h2")] == ["beaten"]
    assert [words.partition(":")[0] for words in hovers(svg, "ew-f1")] == ["fast"]


def test_a_metric_that_should_be_low_turns_the_front_over() -> None:
    svg = pareto([BEST, EXACT, BEATEN], CAPTION, metric="mae", higher_is_better=False)
    assert hovers(svg, "ew-f2") == []
    assert len(hovers(svg, "ew-h2")) == 2
    assert "mae, lower is better" in svg


def test_two_that_are_equal_are_both_on_the_front() -> None:
    svg = pareto([BEST, ParetoPoint("twin", 1 * MS, 0.70, 10_000_000, "int8")], CAPTION)
    assert len(hovers(svg, "ew-f1")) == 2


def test_the_area_of_a_mark_is_the_size_of_its_files() -> None:
    points = [ParetoPoint("a", 1 * MS, 0.7, 100), ParetoPoint("b", 2 * MS, 0.8, 25)]
    radii = [
        float(mark)
        for mark in re.findall(r'class="ew-f1" cx="[\d.]+" cy="[\d.]+" r="([\d.]+)"><', pareto(points, CAPTION))
    ]
    assert sorted(radii) == [5.5, 11]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_missing_figure_is_named_and_not_drawn(width: int) -> None:
    points = [BEST, ParetoPoint("there", None, 0.7, 1, note="not here"), ParetoPoint("blind", MS, None, 1)]
    words = " ".join(element.text or "" for element in ET.fromstring(pareto(points, CAPTION, width=width)).iter())
    assert "there, no p50 (not here)" in words
    assert "blind, no accuracy" in words
    assert not re.search("there:|blind:", words)


def test_a_share_has_no_ticks_beyond_all_and_none() -> None:
    svg = pareto([ParetoPoint("a", 1 * MS, 1.0, 1), ParetoPoint("b", 2 * MS, 0.97, 1)], CAPTION)
    ticks = [
        e.text or "" for e in ET.fromstring(svg).iter() if e.get("class") == "ew-s" and e.get("text-anchor") == "end"
    ]
    assert "1" in ticks
    assert all(float(tick) <= 1 for tick in ticks)


LABELLED = st.builds(
    ParetoPoint, st.text("abcdef /", min_size=1, max_size=40), st.floats(1, 9), st.floats(0, 1), st.integers(1, 99)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(LABELLED, min_size=2, max_size=25), st.sampled_from([WIDE, NARROW]))
def test_labels_do_not_overlap_and_every_name_is_somewhere(points: list[ParetoPoint], width: int) -> None:
    root = ET.fromstring(pareto(points, CAPTION, width=width))
    texts = [element for element in root.iter() if element.tag.endswith("text")]
    boxes = []
    for element in texts:
        if element.get("class") == "ew-halo":
            wide = text_width(element.text or "")
            x, y = float(element.attrib["x"]), float(element.attrib["y"])
            left = x - {"start": 0.0, "middle": wide / 2, "end": wide}[element.get("text-anchor", "start")]
            boxes.append((left, y - 9, left + wide, y + 4))
    for (a, b, c, d), (e, f, g, h) in combinations(boxes, 2):
        assert c <= e + 0.02 or g <= a + 0.02 or d <= f + 0.02 or h <= b + 0.02
    named = len(
        [element for element in texts if element.get("class") == "ew-halo" and not (element.text or "").isdigit()]
    )
    listed = len([element for element in texts if re.match(r"\d+: ", element.text or "")])
    assert named + listed == len(points)
