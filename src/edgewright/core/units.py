"""Limits as people type them: ``1%``, ``8ms``, ``4MB``."""

from __future__ import annotations

import math
import re

_SIZES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_TIMES_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_NUMBER = re.compile(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*([A-Za-z%]*)\s*")


def parse_share(text: str) -> float:
    """An absolute amount in a metric's own unit; a percent sign divides by 100.

    >>> parse_share("1%"), parse_share("0.01")
    (0.01, 0.01)

    Raises:
        ValueError: for anything else, negative numbers and infinities included.
    """
    number, unit = _split(text, "such as 1% or 0.01")
    if unit not in ("", "%"):
        raise ValueError(f"'{text}' is not a share such as 1% or 0.01")
    return number / 100 if unit else number


def parse_milliseconds(text: str) -> float:
    """A duration in milliseconds; the unit (us, ms, s) is required.

    >>> parse_milliseconds("8ms"), parse_milliseconds("0.5 s")
    (8.0, 500.0)

    Raises:
        ValueError: for anything else.
    """
    number, unit = _split(text, "such as 8ms")
    if unit not in _TIMES_MS or number == 0:
        raise ValueError(f"'{text}' is not a duration such as 8ms, 500us or 1s")
    return number * _TIMES_MS[unit]


def parse_latency(text: str) -> tuple[float | None, float | None]:
    """A latency limit: milliseconds, or a ratio to the original in float32; the other one is None.

    >>> parse_latency("8ms"), parse_latency("0.5x")
    ((8.0, None), (None, 0.5))

    Raises:
        ValueError: for anything else.
    """
    number, unit = _split(text, "such as 8ms or 0.5x")
    if unit != "x":
        return parse_milliseconds(text), None
    if number == 0:
        raise ValueError(f"'{text}' is not a latency such as 8ms or 0.5x")
    return None, number


def parse_seconds(text: str) -> float:
    """A time limit in seconds.

    >>> parse_seconds("90s"), parse_seconds("3min"), parse_seconds("1h")
    (90.0, 180.0, 3600.0)

    Raises:
        ValueError: for anything else.
    """
    number, unit = _split(text, "such as 90s or 3min")
    if unit not in _SECONDS or number == 0:
        raise ValueError(f"'{text:.50}' is not a time such as 90s, 3min or 1h")
    return number * _SECONDS[unit]


def parse_bytes(text: str) -> int:
    """A size in bytes; kB, MB, GB are powers of 1000, KiB, MiB, GiB of 1024.

    >>> parse_bytes("4MB"), parse_bytes("1KiB")
    (4000000, 1024)

    Raises:
        ValueError: for anything else.
    """
    number, unit = _split(text, "such as 4MB")
    if unit.lower() not in _SIZES or number == 0:
        raise ValueError(f"'{text}' is not a size such as 4MB, 512KiB or 1GB")
    return int(number * _SIZES[unit.lower()])


def show_bytes(size: int) -> str:
    """A size for people, three digits, powers of 1000.

    >>> show_bytes(13_456_789), show_bytes(950)
    ('13.5 MB', '950 B')
    """
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}" if unit != "B" else f"{size} B"


def _split(text: str, example: str) -> tuple[float, str]:
    match = _NUMBER.fullmatch(text)
    if match is None or not math.isfinite(float(match[1])):
        raise ValueError(f"'{text}' is not a number {example}")
    return float(match[1]), match[2]
