from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.report.plots.figures import change_text, distinct, number_text, size_text, time_text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0.0, "0 ns"),
        (0.5, "0.5 ns"),
        (999.4, "999 ns"),
        (999.9, "1 \N{MICRO SIGN}s"),
        (1_000.0, "1 \N{MICRO SIGN}s"),
        (123_456.0, "123 \N{MICRO SIGN}s"),
        (999_999.0, "1 ms"),
        (12_340_000.0, "12.3 ms"),
        (2.5e9, "2.5 s"),
        (3.6e12, "3600 s"),
        (-1.5e6, "\N{MINUS SIGN}1.5 ms"),
    ],
)
def test_times(ns: float, text: str) -> None:
    assert time_text(ns) == text


@pytest.mark.parametrize(("size", "text"), [(1, "1 B"), (1000, "1 kB"), (46_900_000, "46.9 MB"), (2e9, "2 GB")])
def test_sizes(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (100, 100.01, "±0 %"),
        (100, 103.21, "+3.2 %"),
        (100, 5, "\N{MINUS SIGN}95 %"),
        (1, 12, "\N{MULTIPLICATION SIGN}12"),
        (0, 5, ""),
        (5, 0, ""),
        (-1, 5, ""),
        (1e-300, 1e300, ""),
    ],
)
def test_changes(before: float, after: float, text: str) -> None:
    assert change_text(before, after) == text


@given(st.lists(st.integers(10**6, 10**6 + 500), min_size=1, max_size=6, unique=True))
def test_different_figures_look_different(values: list[int]) -> None:
    for show in (time_text, size_text, number_text):
        assert len(set(distinct(values, show))) == len(values)
