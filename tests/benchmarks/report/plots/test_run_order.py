from __future__ import annotations

import xml.etree.ElementTree as ET

from edgewright.benchmarks.report.plots import Caption, RunMark, SideSeries, run_order

CAPTION = Caption("k", "Title", "d")
RUNS = (RunMark(0, "base", 1.0e6), RunMark(1, "new", 1.1e6), RunMark(2, "new", 1.2e6), RunMark(3, "base", 1.0e6))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter() if element.tag.endswith("text")]


def test_a_calm_session_says_that_nothing_happened() -> None:
    assert "no run was flagged, voided or throttled" in texts(run_order(RUNS, CAPTION))


def test_every_kind_of_event_has_a_lane_with_its_runs() -> None:
    runs = (*RUNS, RunMark(4, "new", 9e6, voided="clock fell 7 %"), RunMark(5, "base", 1e6, flags=("drift", "odd")))
    svg = run_order(runs, CAPTION, throttled=(4,))
    assert {"drift", "odd", "voided", "throttled"} <= set(texts(svg))
    assert "run 4, new: clock fell 7 %" in svg
    assert "no run was flagged, voided or throttled" not in texts(svg)


def test_a_voided_run_is_drawn_and_does_not_count() -> None:
    svg = run_order((*RUNS, RunMark(4, "base", 50e6, voided="stolen time")), CAPTION)
    assert "base: median of 2 runs 1 ms" in texts(svg)
    assert "voided, not counted" in texts(svg)


def test_a_voided_run_of_which_only_its_number_is_known_has_its_lane() -> None:
    svg = run_order((*RUNS, RunMark(4, "", None, voided="stolen time")), CAPTION)
    assert "run 4: stolen time" in svg
    assert not [words for words in texts(svg) if words.startswith(":")]


def test_a_gap_in_a_side_series_is_a_gap() -> None:
    readings = ((0, 3000.0), (1, 3001.0), (2, None), (3, 3002.0), (3, 3003.0))
    svg = run_order(RUNS, CAPTION, side=(SideSeries("CPU clock", "MHz", readings),))
    curves = [element for element in ET.fromstring(svg).iter() if element.get("class") == "ew-l3"]
    assert [curve.attrib["d"].count("L") + 1 for curve in curves] == [2, 2]


def test_a_side_series_that_could_not_be_read_says_so() -> None:
    svg = run_order(RUNS, CAPTION, side=(SideSeries("GPU clock", "MHz", ((0, None),)),))
    assert "could not be read on this machine" in texts(svg)
