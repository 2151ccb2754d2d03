"""Size, latency and accuracy after each pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgewright.benchmarks.report.plots.figures import change_text, number_text, signed_text, size_text, time_text
from edgewright.benchmarks.report.plots.lettering import BOLD, text_width
from edgewright.benchmarks.report.plots.rows import bar_panel
from edgewright.benchmarks.report.plots.scales import fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, absent
from edgewright.benchmarks.trace import TraceStep

_ROW, _GAP = 26.0, 16.0
_ABSENT = "not measured"
Value = Callable[[TraceStep], float | None]


def waterfall(steps: Sequence[TraceStep], caption: Caption, *, metric: str = "accuracy", width: int = WIDE) -> str:
    """Three aligned panels, a row for each step; each figure with its change from the last one before it.

    Bars of size and latency begin at zero, with a pale trace of what was there before; accuracy is a place on a line
    of its own range, and its change is absolute.
    """
    if not steps:
        return absent(caption, "No pass was traced: compile with --trace.", width)
    drawing = Drawing(width)
    names = min(max(text_width(step.name, BOLD) for step in steps) + 12, width * (0.37 if drawing.is_narrow else 0.2))
    panels: tuple[Callable[[float, float, float], None], ...] = (
        lambda left, right, top: _bars(
            drawing, steps, _size, (left, right, top), title="size", show=size_text, colour="1"
        ),
        lambda left, right, top: _bars(
            drawing, steps, _latency, (left, right, top), title="p50 latency", show=time_text, colour="4"
        ),
        lambda left, right, top: _places(drawing, steps, (left, right, top), metric),
    )
    height = 26 + _ROW * len(steps)
    if drawing.is_narrow:
        for place, panel in enumerate(panels):
            top = place * (height + 14)
            _names(drawing, steps, names, top)
            panel(names, width, top)
        end = len(panels) * (height + 14) - 8
    else:
        _names(drawing, steps, names, 0)
        each = (width - names - 2 * _GAP) / 3
        for place, panel in enumerate(panels):
            left = names + place * (each + _GAP)
            panel(left, left + each, 0)
        end = height + 6
    for step in steps:
        if step.note:
            end = drawing.paragraph(0, end + 12, f"{step.name}: {step.note}", width) - 12
    return drawing.svg(caption, end)


def _names(drawing: Drawing, steps: Sequence[TraceStep], room: float, top: float) -> None:
    for place, step in enumerate(steps):
        y = _middle(top, place)
        if place:
            drawing.line(0, y - _ROW / 2, drawing.width, y - _ROW / 2, "ew-grid")
        drawing.text(0, y + 4, step.name, "" if step.kind == "pass" else "ew-b", room=room - 10)


def _bars(
    drawing: Drawing,
    steps: Sequence[TraceStep],
    value: Value,
    place: tuple[float, float, float],
    *,
    title: str,
    show: Callable[[float], str],
    colour: str,
) -> None:
    left, right, top = place
    drawing.text(left, top + 14, title, "ew-m", room=right - left)
    known = [figure for step in steps if (figure := value(step)) is not None]
    if value is _latency:
        known += [step.p50_ci95[1] for step in steps if step.p50_ci95 is not None]
    panel = bar_panel(drawing, known, left, right, show, after=60)
    before: float | None = None
    for index, step in enumerate(steps):
        y, figure = _middle(top, index), value(step)
        if figure is None:
            panel.nothing(y, _ABSENT)
            continue
        change = "" if before is None else "=" if figure == before else change_text(before, figure)
        interval = step.p50_ci95 if value is _latency else None
        panel.bar(y, figure, f"ew-f{colour}", before=before, interval=interval, after=change)
        before = figure


def _places(drawing: Drawing, steps: Sequence[TraceStep], place: tuple[float, float, float], metric: str) -> None:
    left, right, top = place
    known = [step.accuracy for step in steps if step.accuracy is not None]
    in_points = all(abs(value) <= 1 for value in known)
    words = max((text_width(number_text(value)) for value in known), default=0)
    column = max(right - words - 46, left + 24)
    heading = "points" if in_points else "change"
    drawing.text(right, top + 14, heading, "ew-m", anchor="end")
    drawing.text(left, top + 14, metric or "accuracy", "ew-m", room=right - left - text_width(heading) - 8)
    scale = fitted(known, left + 6, max(column - 14, left + 18), log=False)
    trail: list[tuple[float, float]] = []
    for index, step in enumerate(steps):
        if step.accuracy is None:
            drawing.polyline(trail, "ew-l3")
            trail = []
        else:
            trail.append((scale(step.accuracy), _middle(top, index)))
    drawing.polyline(trail, "ew-l3")
    before: float | None = None
    for index, step in enumerate(steps):
        y = _middle(top, index)
        if step.accuracy is None:
            drawing.text(left + 2, y + 4, _ABSENT, "ew-m", room=right - left)
            continue
        drawing.mark("circle", scale(step.accuracy), y, 4.5, "ew-f3", hover=f"{step.name}: {step.accuracy:.6g}")
        drawing.text(column, y + 4, number_text(step.accuracy), room=right - column)
        if before is not None:
            change = _difference(step.accuracy - before, in_points)
            drawing.text(right, y + 4, change, "ew-m", anchor="end", room=max(right - column - words - 6, 0))
        before = step.accuracy


def _difference(value: float, in_points: bool) -> str:
    if value == 0:
        return "="
    return signed_text(100 * value) if in_points else number_text(value)


def _middle(top: float, index: int) -> float:
    return top + 24 + _ROW * (index + 0.5)


def _size(step: TraceStep) -> float | None:
    return step.size_bytes


def _latency(step: TraceStep) -> float | None:
    return step.p50_ns
