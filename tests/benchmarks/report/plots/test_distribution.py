from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from edgewright.benchmarks.report.plots import Caption, LatencySeries, distribution

CAPTION = Caption("k", "Title", "d")
MANY = tuple(1e6 + 1e3 * (index % 40) for index in range(200))


def classes(svg: str) -> list[str]:
    return [element.get("class", "") for element in ET.fromstring(svg).iter() if element.tag.endswith(("path", "line"))]


def test_few_values_are_strokes_and_many_are_a_ridge() -> None:
    assert "ew-p1" not in classes(distribution([LatencySeries("few", (1e6, 1.1e6, 1.2e6))], CAPTION))
    assert classes(distribution([LatencySeries("few", (1e6, 1.1e6, 1.2e6))], CAPTION)).count("ew-e1") == 3
    assert "ew-p1" in classes(distribution([LatencySeries("many", MANY)], CAPTION))


def test_a_ridge_ends_where_the_values_end_and_is_highest_where_they_are() -> None:
    values = tuple(1e6 + 1e4 * index for index in range(11))
    series = LatencySeries("bins", values, counts=(1, 1, 1, 1, 1, 1, 1, 1, 1, 90, 1))
    path = re.search(r'class="ew-l1" d="M([^"]*)"', distribution([series], CAPTION))
    assert path is not None
    places = [tuple(map(float, place.split())) for place in path[1].split("L")]
    left, right = places[0][0], places[-1][0]
    top = min(places, key=lambda place: place[1])[0]
    assert (top - left) / (right - left) == pytest.approx(0.9, abs=0.02)


def test_bins_that_nothing_fell_into_do_not_count() -> None:
    full = LatencySeries("a", MANY)
    assert distribution([full], CAPTION) == distribution(
        [LatencySeries("a", (*MANY, 1.01e6), counts=(1.0,) * len(MANY) + (0.0,))], CAPTION
    )


def test_counts_that_do_not_match_the_values_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="zip"):
        distribution([LatencySeries("a", (1.0, 2.0), counts=(1.0,))], CAPTION)


def test_percentiles_are_those_given_and_nothing_is_made_up() -> None:
    with_tail = distribution([LatencySeries("a", MANY, percentiles=(("p50", 1.02e6), ("p99", 1.3e6)))], CAPTION)
    assert "p50 1.02 ms" in with_tail
    assert "p99 1.3 ms" in with_tail
    assert "p99" not in distribution([LatencySeries("a", MANY)], CAPTION)


def test_a_series_of_nothing_says_why() -> None:
    svg = distribution([LatencySeries("a", MANY), LatencySeries("b", (), note="not on this machine")], CAPTION)
    assert "no latencies: not on this machine" in svg
