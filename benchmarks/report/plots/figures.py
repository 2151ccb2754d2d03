"""Figures as people read them: three digits and a unit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "\N{MICRO SIGN}s"), (1.0, "ns"))
_SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
MINUS, TIMES = "\N{MINUS SIGN}", "\N{MULTIPLICATION SIGN}"


class Show(Protocol):
    """How a figure of one kind is written."""

    def __call__(self, value: float, /, digits: int = ...) -> str:
        """``value`` to so many significant digits, with its unit."""


def distinct(values: Sequence[float], show: Show) -> list[str]:
    """Every value with as few digits as tell them apart, three or more.

    >>> distinct([1.11e6, 1.115e6], time_text)
    ['1.11 ms', '1.115 ms']
    """
    texts = [show(value) for value in values]
    digits = 3
    while len(set(texts)) < len(set(values)) and digits < 12:
        digits += 1
        texts = [show(value, digits) for value in values]
    return texts


def time_text(ns: float, digits: int = 3) -> str:
    """Nanoseconds.

    >>> time_text(1_234_567), time_text(980), time_text(2.5e9)
    ('1.23 ms', '980 ns', '2.5 s')
    """
    return _with_unit(ns, _TIMES, digits)


def size_text(size: float, digits: int = 3) -> str:
    """Bytes, powers of 1000.

    >>> size_text(13_456_789), size_text(950)
    ('13.5 MB', '950 B')
    """
    return _with_unit(size, _SIZES, digits)


def number_text(value: float, digits: int = 4) -> str:
    """A bare number, four digits.

    >>> number_text(0.76543), number_text(-2), number_text(1e-9)
    ('0.7654', '−2', '1e−09')
    """
    return f"{value:.{digits}g}".replace("-", MINUS)


def change_text(before: float, after: float) -> str:
    """The change in percent, or as a factor where it is large; empty where there is none to tell.

    >>> change_text(100, 25), change_text(1, 40), change_text(0, 1)
    ('−75 %', '×40', '')
    """
    if before <= 0 or after <= 0:
        return ""
    ratio = after / before
    if not math.isfinite(ratio) or ratio == 0:
        return ""
    if ratio >= 10:
        return f"{TIMES}{ratio:.3g}"
    return signed_text(100 * (ratio - 1), " %")


def signed_text(value: float, unit: str = "") -> str:
    """A difference with its sign; one decimal, none from 100 on.

    >>> signed_text(3.21, " %"), signed_text(-0.01, " points")
    ('+3.2 %', '±0 points')
    """
    digits = 0 if abs(value) >= 99.95 else 1
    shown = f"{abs(value):.{digits}f}" if abs(value) < 1e6 else f"{abs(value):.3g}"
    if shown in ("0.0", "0"):
        return f"±0{unit}"
    shown = shown.removesuffix(".0")
    return f"{MINUS if value < 0 else '+'}{shown}{unit}"


def _with_unit(value: float, units: tuple[tuple[float, str], ...], digits: int) -> str:
    scale, unit = next(((s, u) for s, u in units if abs(value) >= s * 0.9995), units[-1])
    shown = value / scale
    plain = digits == 3 and 100 <= abs(shown) < 1e5
    text = f"{shown:.0f}" if plain else f"{shown:.{digits}g}"
    return f"{text.replace('-', MINUS)} {unit}"
