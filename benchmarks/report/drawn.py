"""Drawings as they stand on the page: no more digits and points than a screen shows."""

from __future__ import annotations

import math
import re

from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Plot

_NUMBER = re.compile(r"(?<![\d.])(-?\d+\.\d)\d+")
_DRAWN = re.compile(r'(?<= )(d|x|y|x1|x2|y1|y2|cx|cy|r|width|height|points)="([^"]*)"')
_POINT = re.compile(r"([ML])(-?[\d.]+) (-?[\d.]+)")
_TAG = re.compile(r"<[a-z][^<>]*>")
_TIP = re.compile(r"<title>[^<]*</title>")
_NEAR = 0.2
"""Pixels: a line that is moved by less looks the same."""
_Point = tuple[float, float]


def drawn(plot: Plot) -> str:
    """HTML of a plot for wide and narrow windows; where one size must do, it has no tips."""
    if plot.only is not None:
        width = plots.NARROW if plot.only == "narrow" else plots.WIDE
        reached = ' tabindex="0" role="region" aria-label="Plot"' if plot.only == "wide" else ""  # it may scroll
        return f'<div class="only-{plot.only}"{reached}>{_TIP.sub("", slim(plot.draw(width)))}</div>'
    return plots.responsive(lambda width: slim(plot.draw(width)))


def slim(svg: str) -> str:
    """The same drawing to a tenth of a pixel, without points that lines pass through anyway.

    >>> slim('<path class="a" d="M1.234 5L2 5.04L9.87 5.11L10 7"/>')
    '<path class="a" d="M1.2 5L9.8 5.1L10 7"/>'
    """
    return _TAG.sub(lambda tag: _DRAWN.sub(_slimmer, tag[0]), svg)


def _slimmer(match: re.Match[str]) -> str:
    value = _thin(match[2]) if match[1] == "d" else match[2]
    return f'{match[1]}="{_NUMBER.sub(_digit, value)}"'


def _digit(match: re.Match[str]) -> str:
    return match[1].removesuffix(".0")


def _thin(path: str) -> str:
    """Leaves out points that lie within :data:`_NEAR` of the line between those that are kept."""
    parts = re.split(r"(?=[A-Za-z])", path)
    kept: list[str] = []
    stretch: list[str] = []
    for part in [*parts, ""]:
        if _POINT.fullmatch(part) and (part.startswith("L") or not stretch):
            stretch.append(part)
            continue
        kept += _simplified(stretch)
        stretch = [part] if _POINT.fullmatch(part) else []
        kept += [] if stretch else [part]
    return "".join(kept)


def _simplified(parts: list[str]) -> list[str]:
    """The Douglas-Peucker simplification of one polyline (Douglas & Peucker 1973)."""
    points = [(float(match[2]), float(match[3])) for part in parts if (match := _POINT.fullmatch(part))]
    if len(points) < 3:
        return parts
    wanted = {0, len(points) - 1}
    open_ends = [(0, len(points) - 1)]
    while open_ends:
        first, last = open_ends.pop()
        far = max(range(first + 1, last), key=lambda at: _off(points[at], points[first], points[last]), default=first)
        if far > first and _off(points[far], points[first], points[last]) > _NEAR:
            wanted.add(far)
            open_ends += [(first, far), (far, last)]
    return [part for at, part in enumerate(parts) if at in wanted]


def _off(point: _Point, start: _Point, end: _Point) -> float:
    """How far ``point`` is from the stretch between two others."""
    across, down = end[0] - start[0], end[1] - start[1]
    length = across**2 + down**2
    along = ((point[0] - start[0]) * across + (point[1] - start[1]) * down) / length if length else 0.0
    along = min(max(along, 0.0), 1.0)
    return math.hypot(point[0] - start[0] - along * across, point[1] - start[1] - along * down)
