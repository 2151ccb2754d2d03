"""Scales from values to pixels, with ticks at 1, 2 and 5."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

LOG_FROM = 10.0
"""The ratio of largest to smallest above which a scale becomes logarithmic."""
# Spans below this share of the values would give ticks that four digits cannot tell apart; one value alone gets more.
_SMALLEST_SPAN = 1e-3
_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` on pixels from ``start`` to ``end``; what lies outside is put at the edge."""

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of ``value``."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            share = (math.log(inside) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            share = (inside - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, room: float) -> tuple[float, ...]:
        """Round values within the scale, about ``room`` pixels apart and never much closer."""
        most = max(int(abs(self.end - self.start) / room), 2)
        if self.is_log and self.high / self.low >= LOG_FROM:
            return _log_ticks(self.low, self.high, most)
        return _linear_ticks(self.low, self.high, most)


def fitted(
    values: Iterable[float], start: float, end: float, *, from_zero: bool = False, log: bool | None = None
) -> Scale:
    """A scale that holds ``values`` with some air: from zero for bars, else logarithmic above a range of tenfold.

    Args:
        values: finite; none at all gives a scale from 0 to 1.
        from_zero: the scale begins (or ends) at zero, where bars stand.
        log: says what the range would otherwise decide; only positive values can have it.
    """
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if from_zero:
        low, high = min(low, 0.0), max(high, 0.0)
        return Scale(low, high if high > low else low + 1.0, start, end)
    positive = low > 0
    if positive and (log if log is not None else high / LOG_FROM > low):
        air = max((high / low) ** 0.05, 1.02) if high / low < math.inf else 10.0
        return Scale(max(low / air, 5e-324), min(high * air, 1e308), start, end, is_log=True)
    middle, least = low / 2 + high / 2, max(abs(low), abs(high)) * _SMALLEST_SPAN
    span = max(high - low, least if high > low else least * 100)
    if span <= 0 or middle - span == middle + span:
        span = 2.0 if middle == 0 or span <= 0 else abs(middle)
    half = span * 0.56
    return Scale(middle - half, middle + half, start, end)


def _linear_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    rough = (high - low) / most * 0.8  # a step that is a little close looks better than one twice as wide
    if rough <= 0 or not math.isfinite(rough):
        return ()
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 1e-300 else rough
    step = next((factor * power for factor in _STEPS if factor * power >= rough * (1 - 1e-9)), 10 * power)
    first = math.ceil(low / step - 1e-9)
    found = (_clean(index * step, step) for index in range(first, first + most + 2))
    return tuple(tick for tick in found if low <= tick <= high)


def _log_ticks(low: float, high: float, most: int) -> tuple[float, ...]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [float(f"{f}e{power}") for power in range(first, last + 1) for f in factors]
        inside = [tick for tick in found if low <= tick <= high]
        if 2 <= len(inside) <= most + 1:
            return tuple(inside)
    decades = [float(f"1e{power}") for power in range(first, last + 1)]
    inside = [tick for tick in decades if low <= tick <= high]
    return tuple(inside[:: max(math.ceil(len(inside) / most), 1)])


def _clean(value: float, step: float) -> float:
    """``value`` without the dust of its multiplication; zero is zero."""
    if abs(value) < step / 2:
        return 0.0
    return float(f"{value:.12g}")
