"""Accuracy over latency, with the front of those that nothing beats."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from edgewright.benchmarks.report.plots.axes import gutter, legend, x_axis, y_axis
from edgewright.benchmarks.report.plots.figures import number_text, size_text, time_text
from edgewright.benchmarks.report.plots.labels import Labels
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, Shape, absent

_SHAPES: tuple[Shape, ...] = ("circle", "square", "triangle", "diamond", "pentagon", "down")
_LARGEST, _SMALLEST = 11.0, 4.0
_MOST_NAMED = 10
"""With more points than this every mark has a number, and the names are listed below."""


@dataclass(frozen=True)
class ParetoPoint:
    """One variant; what is None is named beside the plot, not drawn."""

    label: str
    p50_ns: float | None
    accuracy: float | None
    size_bytes: int | None
    kind: str = ""
    """What the shape of the mark says: the precision."""
    p50_ci95: tuple[float, float] | None = None
    accuracy_ci95: tuple[float, float] | None = None
    note: str = ""
    """Why a figure is missing."""


@dataclass(frozen=True)
class _Placed:
    """A point with both figures, and how it is drawn."""

    point: ParetoPoint
    p50: float
    accuracy: float
    radius: float
    shape: Shape
    colour: int
    on_front: bool


def pareto(
    points: Sequence[ParetoPoint],
    caption: Caption,
    *,
    metric: str = "accuracy",
    higher_is_better: bool = True,
    width: int = WIDE,
) -> str:
    """Accuracy over p50 latency; the area of a mark is the size of its files, a step line joins the front.

    Better is always up and to the left: an axis of a metric that should be low is turned over.
    """
    placed = _placed(points, higher_is_better)
    missing = [point for point in points if point.p50_ns is None or point.accuracy is None]
    if not placed:
        reasons = "; ".join(f"{point.label}: {_lacks(point, metric)}" for point in missing)
        return absent(caption, f"Nothing has both a latency and {metric}. {reasons}".strip(), width)
    drawing = Drawing(width)
    top = legend(drawing, 0, 14, _legend(placed), width) + 24
    drawing.text(0, top, f"↑ {metric}{'' if higher_is_better else ', lower is better'}", "ew-m", room=width)
    top += 12
    bottom = top + (300 if drawing.is_narrow else 330)
    x, y = _scales(placed, width, top, bottom, higher_is_better)
    x_axis(drawing, x, top, bottom, time_text)
    y_axis(drawing, y, x.start, x.end, number_text)
    drawing.text(x.end, bottom + 34, "← p50 latency", "ew-m", anchor="end")
    labels = Labels(drawing, (x.start, top, x.end, bottom))
    corners = _front(placed, x, y)
    drawing.polyline(corners, "ew-l6")
    for start, end in pairwise(corners):
        labels.avoid(*start, *end)
    for one in placed:
        for start, end in _whiskers(one, x, y):
            drawing.line(*start, *end, f"ew-e{one.colour}")
            labels.avoid(*start, *end)
    for one in sorted(placed, key=lambda one: -one.radius):
        _mark(drawing, one, x, y, metric)
        labels.keep_clear(x(one.p50), y(one.accuracy), one.radius + 1)
    for one in sorted(placed, key=lambda one: one.p50):
        labels.add(x(one.p50), y(one.accuracy), one.radius, one.point.label, by_number=len(placed) > _MOST_NAMED)
    base = labels.write(bottom + 54)
    for point in missing:
        base = drawing.paragraph(0, base, f"Not drawn: {point.label}, {_lacks(point, metric)}", width)
    return drawing.svg(caption, base - 6)


def _placed(points: Sequence[ParetoPoint], higher_is_better: bool) -> list[_Placed]:
    known = [(p, p.p50_ns, p.accuracy) for p in points if p.p50_ns is not None and p.accuracy is not None]
    sign = 1 if higher_is_better else -1
    kinds = list(dict.fromkeys(point.kind for point, _, _ in known))
    largest = max((point.size_bytes or 0 for point, _, _ in known), default=0)
    made = []
    for point, p50, accuracy in known:
        beaten = any(
            a <= p50 and sign * b >= sign * accuracy and (a < p50 or sign * b > sign * accuracy) for _, a, b in known
        )
        place = min(kinds.index(point.kind), len(_SHAPES) - 1)
        radius = _SMALLEST if not point.size_bytes else _LARGEST * math.sqrt(point.size_bytes / largest)
        made.append(
            _Placed(point, p50, accuracy, max(radius, _SMALLEST), _SHAPES[place], place + 1, on_front=not beaten)
        )
    return made


def _scales(
    placed: Sequence[_Placed], width: int, top: float, bottom: float, higher_is_better: bool
) -> tuple[Scale, Scale]:
    times = [v for one in placed for v in (one.p50, *(one.point.p50_ci95 or ()))]
    accuracies = [v for one in placed for v in (one.accuracy, *(one.point.accuracy_ci95 or ()))]
    ends = (bottom - 28, top + 28) if higher_is_better else (top + 28, bottom - 28)  # room for labels
    y = fitted(accuracies, *ends, log=False)
    if min(accuracies) >= 0 and max(accuracies) <= 1:  # a share: there is nothing beyond all and none
        y = replace(y, low=max(y.low, 0.0), high=min(y.high, 1.0))
    return fitted(times, gutter(y, number_text), width - 14), y


def _legend(placed: Sequence[_Placed]) -> list[tuple[str, str]]:
    entries: list[tuple[str, str]] = []
    kinds: dict[str, list[str]] = {}
    for one in placed:
        kinds.setdefault(f"{one.shape} ew-f{one.colour}", []).append(one.point.kind)
    for key, names in kinds.items():
        words = ", ".join(dict.fromkeys(name for name in names if name))
        if words:
            entries.append((key, words))
    entries.append(("line ew-l6", "front: none is both faster and better"))
    if any(not one.on_front for one in placed):
        entries.append(("circle ew-h6", "hollow: off the front"))
    sizes = sorted({one.point.size_bytes for one in placed if one.point.size_bytes})
    if sizes:
        smallest = f"{size_text(sizes[0])} to " if len(sizes) > 1 else ""
        entries.append(("circle ew-p6", f"area: size of the files, {smallest}{size_text(sizes[-1])}"))
    return entries


def _front(placed: Sequence[_Placed], x: Scale, y: Scale) -> list[tuple[float, float]]:
    corners: list[tuple[float, float]] = []
    for one in sorted((one for one in placed if one.on_front), key=lambda one: one.p50):
        if corners:
            corners.append((x(one.p50), corners[-1][1]))
        corners.append((x(one.p50), y(one.accuracy)))
    corners.append((x.end, corners[-1][1]))
    return corners


def _whiskers(one: _Placed, x: Scale, y: Scale) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    at, up, point = x(one.p50), y(one.accuracy), one.point
    found = []
    if point.p50_ci95 is not None:
        found.append(((x(point.p50_ci95[0]), up), (x(point.p50_ci95[1]), up)))
    if point.accuracy_ci95 is not None:
        found.append(((at, y(point.accuracy_ci95[0])), (at, y(point.accuracy_ci95[1]))))
    return found


def _mark(drawing: Drawing, one: _Placed, x: Scale, y: Scale, metric: str) -> None:
    at, up = x(one.p50), y(one.accuracy)
    size = "size unknown" if one.point.size_bytes is None else size_text(one.point.size_bytes)
    hover = f"{one.point.label}: p50 {time_text(one.p50)}, {metric} {number_text(one.accuracy)}, {size}"
    drawing.mark(one.shape, at, up, one.radius, f"ew-{'f' if one.on_front else 'h'}{one.colour}", hover=hover)


def _lacks(point: ParetoPoint, metric: str) -> str:
    lacking = [name for name, value in (("p50", point.p50_ns), (metric, point.accuracy)) if value is None]
    return f"no {' and no '.join(lacking)}" + (f" ({point.note})" if point.note else "")
