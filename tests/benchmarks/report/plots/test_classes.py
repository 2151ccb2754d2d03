from __future__ import annotations

import xml.etree.ElementTree as ET

from edgewright.benchmarks.report.plots import NARROW, Caption, classes
from edgewright.benchmarks.trace import ClassDelta

CAPTION = Caption("k", "Title", "d")
ROWS = [ClassDelta("still", 10, 0.5, 0.5), ClassDelta("better", 20, 0.5, 0.75), ClassDelta("worse", 30, 0.9, 0.8)]


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_losses_come_first_and_what_did_not_move_is_counted() -> None:
    words = texts(classes(ROWS, CAPTION))
    assert words.index("worse (n=30)") < words.index("better (n=20)")
    assert {"\N{MINUS SIGN}10 points", "+25 points"} <= set(words)
    assert "1 of 3 classes did not move." in words


def test_the_rest_is_bounded() -> None:
    rows = [ClassDelta(f"c{index}", 100, 0.5, 0.5 - index / 100) for index in range(1, 11)]
    words = texts(classes(rows, CAPTION, top=2, width=NARROW))
    assert [word for word in words if word.startswith("c")] == ["c10 (n=100)", "c9 (n=100)"]
    assert "8 more classes moved by at most 8.0 points." in " ".join(words)


def test_losses_and_gains_have_shapes_of_their_own() -> None:
    marks = {e.get("class"): e for e in ET.fromstring(classes(ROWS, CAPTION)).iter() if len(e) and e.get("d")}
    assert {"ew-fbad", "ew-fgood"} <= marks.keys()
    heights = {
        css: [float(place.split()[1]) for place in mark.attrib["d"].strip("MZ").split("L")]
        for css, mark in marks.items()
    }
    assert heights["ew-fbad"][0] > heights["ew-fbad"][1]  # points down
    assert heights["ew-fgood"][0] < heights["ew-fgood"][1]


def test_nothing_moved() -> None:
    assert "None of the 1 classes" in classes(ROWS[:1], CAPTION)
