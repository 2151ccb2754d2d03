from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.benchmarks.report.plots.scales import fitted

FINITE = st.floats(-1e300, 1e300)


@given(st.lists(FINITE, min_size=1, max_size=8), st.booleans(), st.floats(20, 200))
def test_values_and_ticks_lie_on_the_scale(values: list[float], from_zero: bool, room: float) -> None:
    scale = fitted(values, 10, 310, from_zero=from_zero)
    assert all(scale.low <= value <= scale.high for value in values)
    assert all(math.isfinite(scale(value)) and 10 <= scale(value) <= 310 for value in values)
    ticks = scale.ticks(room)
    assert all(scale.low <= tick <= scale.high for tick in ticks)
    assert list(ticks) == sorted(set(ticks))
    assert len(ticks) <= 300 / room * 1.4 + 3


@given(st.floats(-1e12, 1e12).filter(lambda value: value == 0 or abs(value) > 1e-12))
def test_one_value_stands_in_the_middle_between_ticks(value: float) -> None:
    scale = fitted([value], 0, 100)
    assert scale(value) == pytest.approx(50, abs=1e-6)
    assert scale.ticks(40)


@given(st.floats(1e-9, 1e9), st.floats(1.02, 9), st.integers(60, 800))
def test_ticks_are_one_two_or_five_times_a_power_of_ten_apart(low: float, ratio: float, pixels: int) -> None:
    ticks = fitted([low, low * ratio], 0, pixels).ticks(60)
    step = min(b - a for a, b in pairwise(ticks)) if len(ticks) > 1 else 1.0
    digit = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(digit - nice) for nice in (1, 2, 5, 10)) < 1e-3  # ticks are rounded to 12 digits


def test_a_range_of_tenfold_and_less_is_linear() -> None:
    assert not fitted([1.0, 10.0], 0, 100).is_log
    assert fitted([1.0, 10.1], 0, 100).is_log
    assert not fitted([0.0, 1000.0], 0, 100).is_log
    assert not fitted([-1.0, 1000.0], 0, 100).is_log


def test_a_logarithmic_scale_has_even_decades_and_round_ticks() -> None:
    scale = fitted([1e3, 1e6], 0, 600)
    gaps = [scale(b) - scale(a) for a, b in ((1e3, 1e4), (1e4, 1e5), (1e5, 1e6))]
    assert gaps == pytest.approx([gaps[0]] * 3)
    assert scale.ticks(80) == (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)


def test_bars_begin_at_zero() -> None:
    scale = fitted([5.0, 7.0], 100, 200, from_zero=True)
    assert scale(0) == 100
    assert scale(7) == 200
    assert fitted([-2.0, 2.0], 0, 100, from_zero=True)(0) == 50
