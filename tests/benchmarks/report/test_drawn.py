"""Drawings on the page look the same as the ones the plots made, and say the same."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.report.drawn import slim

COORDINATE = st.floats(-1000, 1000).map(lambda value: round(value, 2))
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), min_size=2, max_size=60)


def points_of(path: str) -> np.ndarray:
    return np.array([(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", path)])


@given(POINTS)
def test_a_line_stays_where_it_was(points: list[tuple[float, float]]) -> None:
    """Within 0.2 pixels of simplification and 0.15 (a tenth in each direction) of rounding."""
    path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    (found,) = re.findall(r' d="([^"]*)"', slim(f'<path d="{path}"/>'))
    before, after = points_of(path), points_of(found)
    assert len(after) <= len(before)
    for point in before:
        starts, along = after[:-1], np.diff(after, axis=0)
        length = np.maximum((along**2).sum(axis=1), 1e-12)
        share = np.clip(((point - starts) * along).sum(axis=1) / length, 0, 1)
        assert np.hypot(*(starts + share[:, None] * along - point).T).min() <= 0.36


def test_a_ridge_of_many_points_loses_most_of_them() -> None:
    across = np.linspace(0, 300, 600)
    path = "M" + "L".join(f"{x:.2f} {50 * np.exp(-(((x - 150) / 40) ** 2)):.2f}" for x in across)
    assert len(slim(f'<path d="{path}"/>')) < len(path) / 8


@pytest.mark.parametrize(
    "text",
    ['<text x="1">v1.23456 d="M1.234 5L6.789 1"</text>', "<title>0.123456</title>", '<g class="ew-1.234"></g>'],
)
def test_words_are_left_alone(text: str) -> None:
    assert slim(text) == text


def test_several_lines_in_one_path_stay_apart() -> None:
    drawn = '<path d="M0 0L1 0L2 0M5 5L6 5L7 5Z"/>'
    assert slim(drawn) == '<path d="M0 0L2 0M5 5L7 5Z"/>'
