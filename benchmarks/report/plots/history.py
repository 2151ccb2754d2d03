"""One metric over commits, and where it stepped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgewright.benchmarks.report.plots.axes import gutter, legend, y_axis
from edgewright.benchmarks.report.plots.figures import TIMES, Show, change_text, number_text, size_text, time_text
from edgewright.benchmarks.report.plots.lettering import SMALL, elided, text_width
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, absent

Unit = Literal["ns", "bytes", "number"]
_SHOW: dict[Unit, Show] = {"ns": time_text, "bytes": size_text, "number": number_text}
_HASH = re.compile("[0-9a-f]{8,}")
_ROOM = 62.0
"""Pixels for the name of a commit."""


@dataclass(frozen=True)
class HistoryPoint:
    """The metric at one commit, oldest first."""

    commit: str
    value: float | None
    ci95: tuple[float, float] | None = None
    note: str = ""
    """Why there is no value."""


@dataclass(frozen=True)
class DetectedStep:
    """A lasting change; ``index`` is that of the first point after it."""

    index: int
    before: float
    after: float


def history(
    points: Sequence[HistoryPoint],
    steps: Sequence[DetectedStep],
    caption: Caption,
    *,
    metric: str,
    unit: Unit = "number",
    width: int = WIDE,
) -> str:
    """The metric at each commit, a level line between steps, and each step with its change in percent."""
    known = [(index, point, point.value) for index, point in enumerate(points) if point.value is not None]
    if not known:
        return absent(caption, f"No commit has a figure of {metric}.", width)
    show = _SHOW[unit]
    drawing = Drawing(width)
    top = legend(drawing, 0, 14, _legend(steps, metric), width) + (34 if steps else 10)
    bottom = top + (200 if drawing.is_narrow else 230)
    levels = [value for step in steps for value in (step.before, step.after)]
    figures = [v for _, point, value in known for v in (value, *(point.ci95 or ()))]
    y = fitted([*figures, *levels], bottom - 12, top + 10)
    x = Scale(-0.7, len(points) - 0.3, gutter(y, show), width - 8.0)
    y_axis(drawing, y, x.start, x.end, show)
    drawing.line(x.start, bottom, x.end, bottom, "ew-axis")
    _levels(drawing, steps, len(points), x, y)
    for index, point, value in known:
        if point.ci95 is not None:
            drawing.line(x(index), y(point.ci95[0]), x(index), y(point.ci95[1]), "ew-e1")
        drawing.mark("circle", x(index), y(value), 3, "ew-f1", hover=f"{point.commit}: {show(value)}")
    _marks(drawing, steps, x, top, bottom)
    lacking = [index for index, point in enumerate(points) if point.value is None]
    for index in lacking:
        drawing.mark("cross", x(index), bottom - 6, 3, "ew-l6", hover=f"{points[index].commit}: {_why(points[index])}")
    _commits(drawing, points, steps, x, bottom + 15)
    end = bottom + 34
    if lacking:
        reasons = "; ".join(dict.fromkeys(_why(points[index]) for index in lacking))
        end = drawing.paragraph(
            0, end, f"{TIMES} no figure at {len(lacking)} of {len(points)} commits: {reasons}", width
        )
    return drawing.svg(caption, end - 6)


def _legend(steps: Sequence[DetectedStep], metric: str) -> list[tuple[str, str]]:
    entries = [("circle ew-f1", metric)]
    if steps:
        entries += [("line ew-l2", "level between steps"), ("line ew-limit", "detected step, advisory")]
    return entries


def _levels(drawing: Drawing, steps: Sequence[DetectedStep], count: int, x: Scale, y: Scale) -> None:
    ordered = sorted(steps, key=lambda step: step.index)
    start = -0.5
    for place, step in enumerate(ordered):
        drawing.line(x(start), y(step.before), x(step.index - 0.5), y(step.before), "ew-l2")
        start = step.index - 0.5
        if place == len(ordered) - 1:
            drawing.line(x(start), y(step.after), x(count - 0.5), y(step.after), "ew-l2")


def _marks(drawing: Drawing, steps: Sequence[DetectedStep], x: Scale, top: float, bottom: float) -> None:
    taken = [-1.0, -1.0]  # how far each of the two lines of words above the plot is filled
    for step in sorted(steps, key=lambda step: step.index):
        at = x(step.index - 0.5)
        drawing.line(at, top, at, bottom, "ew-limit")
        words = f"{'▲' if step.after > step.before else '▼'} {change_text(step.before, step.after)}".strip()
        half = text_width(words, SMALL) / 2
        middle = min(max(at, half), drawing.width - half)
        line = next((index for index in (0, 1) if middle - half > taken[index]), None)
        if line is not None:
            drawing.text(middle, top - 5 - 14 * line, words, "ew-s", anchor="middle")
            taken[line] = middle + half + 6


def _commits(
    drawing: Drawing, points: Sequence[HistoryPoint], steps: Sequence[DetectedStep], x: Scale, y: float
) -> None:
    """Names of commits where there is room: those at steps first, the last, the first, then every few."""
    every = max(round(len(points) / max((x.end - x.start) / (_ROOM * 1.6), 1)), 1)
    wanted = [step.index for step in steps] + [len(points) - 1, 0] + list(range(0, len(points), every))
    taken: list[float] = []
    for index in wanted:
        if not 0 <= index < len(points):
            continue
        middle = min(max(x(index), _ROOM / 2), drawing.width - _ROOM / 2)
        if all(abs(middle - other) >= _ROOM + 4 for other in taken):
            taken.append(middle)
            commit = points[index].commit
            drawing.text(
                middle,
                y,
                elided(commit[:8] if _HASH.fullmatch(commit) else commit, _ROOM, SMALL),
                "ew-s",
                anchor="middle",
            )


def _why(point: HistoryPoint) -> str:
    return point.note or "no figure"
