"""How latencies spread: one ridge a variant, with its percentiles marked."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.plots.axes import legend, x_axis
from edgewright.benchmarks.report.plots.figures import time_text
from edgewright.benchmarks.report.plots.lettering import BOLD, text_width
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, absent

_FEWEST = 8
"""Fewer different values than this are drawn one by one: a curve would be made up."""
_BEND = 0.15
"""Pixels by which a point must bend the line to be kept."""
_NARROWEST = 2.5
"""Pixels of the narrowest kernel."""


@dataclass(frozen=True)
class LatencySeries:
    """One variant's latencies: window medians, or the middles of bins with their counts."""

    label: str
    values_ns: tuple[float, ...]
    counts: tuple[float, ...] | None = None
    """How often each value was seen; once each when None."""
    percentiles: tuple[tuple[str, float], ...] = ()
    """Name and nanoseconds of those that had samples enough: ``("p50", 1.2e6), ("p99", 1.9e6)``."""
    note: str = ""
    """Why there are no values, or which percentiles had too few samples."""

    @property
    def weighted(self) -> list[tuple[float, float]]:
        """Values that were seen at all, with how often, in ascending order."""
        counts = self.counts if self.counts is not None else (1.0,) * len(self.values_ns)
        return sorted((v, c) for v, c in zip(self.values_ns, counts, strict=True) if c > 0)


def distribution(series: Sequence[LatencySeries], caption: Caption, *, width: int = WIDE) -> str:
    """A ridge of relative frequency for each series on one scale of time, percentiles marked on its foot.

    Each ridge is as high as the others at its own highest place: what to compare is where they lie and how far their
    tails reach. It is a density of Gaussian kernels, cut at the least and the largest value; fewer than eight
    different values are drawn as strokes.
    """
    known = [v for one in series for v in (*one.values_ns, *(value for _, value in one.percentiles))]
    if not known:
        return absent(caption, "; ".join(f"{one.label}: {_why(one)}" for one in series) or "No latencies.", width)
    drawing = Drawing(width)
    top = legend(drawing, 0, 14, _legend(series), width) + 10
    row, label, right = _layout(drawing, series)
    figures = _figures(drawing, series)
    scale = fitted(known, label + 6, right - 8)
    bottom = top + len(series) * row + 6
    x_axis(drawing, scale, top, bottom, time_text)
    for place, one in enumerate(series):
        foot = top + (place + 1) * row
        _names(drawing, one, foot, label, figures[place])
        if one.values_ns or one.percentiles:
            drawing.line(scale.start, foot, scale.end, foot, "ew-grid")
            _ridge(drawing, one, scale, foot, height=30 if drawing.is_narrow else row - 10)
            _percentiles(drawing, one, scale, foot)
        else:
            drawing.remark(scale.start + 4, foot - 4, _why(one), right - scale.start - 8)
    drawing.text(scale.end, bottom + 34, "← latency", "ew-m", anchor="end")
    return drawing.svg(caption, bottom + 42)


def _layout(drawing: Drawing, series: Sequence[LatencySeries]) -> tuple[float, float, float]:
    """Height of a row, room for the labels left of it, and where the figures right of it begin."""
    if drawing.is_narrow:
        return 60.0, 6.0, float(drawing.width)
    label = min(max(text_width(one.label) for one in series) + 14, drawing.width * 0.3)
    return 46.0, label, drawing.width - 150.0


def _legend(series: Sequence[LatencySeries]) -> list[tuple[str, str]]:
    names = list(dict.fromkeys(name for one in series for name, _ in one.percentiles))
    entries = [("bar ew-p1", "how often (each ridge to its own height)")]
    if names:
        entries.append(("diamond ew-f6", names[0]))
    if len(names) > 1:
        entries.append(("circle ew-h6", f"{', '.join(names[1:])}, in this order"))
    return entries


def _figures(drawing: Drawing, series: Sequence[LatencySeries]) -> list[list[str]]:
    """The words beside each series: its first and last percentile, or the first alone where labels need the room."""
    both = [
        [f"{name} {time_text(value)}" for name, value in one.percentiles[:1] + one.percentiles[1:][-1:]]
        for one in series
    ]
    rooms = (
        text_width(one.label, BOLD) + text_width(", ".join(words)) + 12 for one, words in zip(series, both, strict=True)
    )
    return both if not drawing.is_narrow or max(rooms) <= drawing.width else [words[:1] for words in both]


def _names(drawing: Drawing, one: LatencySeries, foot: float, label: float, shown: Sequence[str]) -> None:
    if drawing.is_narrow:
        words = ", ".join(shown)
        drawing.text(0, foot - 36, one.label, "ew-b", room=drawing.width - text_width(words) - 12)
        drawing.text(drawing.width, foot - 36, words, "ew-m", anchor="end")
        return
    drawing.label(0, foot - 14, one.label, label - 10)
    for line, words in enumerate(shown):
        drawing.text(drawing.width - 140, foot - 3 - 16 * (len(shown) - 1 - line), words, "ew-m", room=140)


def _ridge(drawing: Drawing, one: LatencySeries, scale: Scale, foot: float, *, height: float) -> None:
    weighted = one.weighted
    if not weighted:
        return
    if len({value for value, _ in weighted}) < _FEWEST:
        most = max(count for _, count in weighted)
        for value, count in weighted:
            drawing.line(scale(value), foot, scale(value), foot - height * (0.3 + 0.7 * count / most), "ew-e1")
        return
    points = _density([(scale(value), count) for value, count in weighted])
    most = max(share for _, share in points)
    outline = _simplified([(x, foot - height * share / most) for x, share in points])
    drawing.polyline([(points[0][0], foot), *outline, (points[-1][0], foot)], "ew-p1", closed=True)
    drawing.polyline(outline, "ew-l1")


def _density(weighted: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Gaussian kernels over pixels; the width by Silverman's rule (Density Estimation, 1986, formula 3.31)."""
    total = sum(count for _, count in weighted)
    mean = sum(x * count for x, count in weighted) / total
    spread = math.sqrt(sum(count * (x - mean) ** 2 for x, count in weighted) / total)
    quarter = _quantile(weighted, 0.75 * total) - _quantile(weighted, 0.25 * total)
    width = max(0.9 * min(spread, quarter / 1.34) * total**-0.2, _NARROWEST)
    low, high = weighted[0][0], weighted[-1][0]
    steps = max(math.ceil((high - low) / (width / 2)), 2)  # finer than any bump of this kernel
    places = [low + (high - low) * step / steps for step in range(steps + 1)]
    all_x = [x for x, _ in weighted]
    found = []
    for place in places:
        near = weighted[bisect_left(all_x, place - 5 * width) : bisect_left(all_x, place + 5 * width)]
        found.append((place, sum(count * math.exp(-(((place - x) / width) ** 2) / 2) for x, count in near)))
    return found


def _simplified(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The line without the points that hardly bend it: a long flat tail costs two of them."""
    kept = [points[0]]
    for index in range(1, len(points) - 1):
        (x0, y0), (x, y), (x1, y1) = kept[-1], points[index], points[index + 1]
        straight = y0 + (y1 - y0) * (x - x0) / (x1 - x0) if x1 > x0 else y0
        if abs(y - straight) > _BEND:
            kept.append(points[index])
    return [*kept, points[-1]]


def _quantile(weighted: Sequence[tuple[float, float]], rank: float) -> float:
    seen = 0.0
    for x, count in weighted:
        seen += count
        if seen >= rank:
            return x
    return weighted[-1][0]


def _percentiles(drawing: Drawing, one: LatencySeries, scale: Scale, foot: float) -> None:
    if not one.percentiles:
        return
    places = [scale(value) for _, value in one.percentiles]
    drawing.line(min(places), foot, max(places), foot, "ew-l6")
    for (name, value), x in reversed(list(zip(one.percentiles, places, strict=True))):
        is_first = name == one.percentiles[0][0]
        hover = f"{one.label}: {name} {time_text(value)}"
        drawing.mark("diamond" if is_first else "circle", x, foot, 4, f"ew-{'f' if is_first else 'h'}6", hover=hover)


def _why(one: LatencySeries) -> str:
    return f"no latencies: {one.note}" if one.note else "no latencies"
