"""Runs in the order they were made: what drifted, was disturbed, or was made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from edgewright.benchmarks.report.plots.axes import gutter, legend, x_axis, y_axis
from edgewright.benchmarks.report.plots.figures import number_text, time_text
from edgewright.benchmarks.report.plots.lettering import text_width
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, Shape, absent

_Look = tuple[Shape, str, str]
"""Shape, ``f`` for full or ``h`` for hollow, and colour."""
_ARMS: tuple[_Look, ...] = (
    ("circle", "h", "6"),
    ("circle", "f", "1"),
    ("triangle", "f", "2"),
    ("square", "f", "4"),
)
_LANE, _SIDE = 18.0, 52.0


@dataclass(frozen=True)
class RunMark:
    """One fresh process."""

    order: int
    arm: str
    """Empty where that is not known of a voided run."""
    median_ns: float | None
    """None where it was voided and its samples were not kept."""
    flags: tuple[str, ...] = ()
    voided: str = ""
    """The evidence that voided it; empty for a run that counts."""


@dataclass(frozen=True)
class SideSeries:
    """What the machine said of itself meanwhile."""

    label: str
    unit: str
    readings: tuple[tuple[int, float | None], ...]
    """The order of the run it fell into, and the value; None where it could not be read."""


def run_order(
    runs: Sequence[RunMark],
    caption: Caption,
    *,
    side: Sequence[SideSeries] = (),
    throttled: Sequence[int] = (),
    width: int = WIDE,
) -> str:
    """Run medians by order, one mark an arm; under them a lane for each kind of flag and a panel for each side series.

    ``throttled`` holds the orders of runs in which the machine said that it throttled.
    """
    medians = [run.median_ns for run in runs if run.median_ns is not None]
    if not medians:
        return absent(caption, "No run was kept." if runs else "No runs.", width)
    drawing = Drawing(width)
    kept = [run for run in runs if run.median_ns is not None]
    arms = list(dict.fromkeys(run.arm for run in sorted(kept, key=lambda run: run.order)))
    top = legend(drawing, 0, 14, _legend(runs, arms), width) + 10
    bottom = top + (190 if drawing.is_narrow else 220)
    y = fitted(medians, bottom - 12, top + 12)
    lanes = _lanes(runs, throttled)
    left = max(
        gutter(y, time_text), *(text_width(name) + 10 for name in lanes), *(_side_gutter(one) for one in side), 0.0
    )
    orders = [run.order for run in runs] + [order for one in side for order, _ in one.readings] + list(throttled)
    x = Scale(min(orders) - 0.6, max(orders) + 0.6, min(left, width * 0.3), width - 6.0)
    y_axis(drawing, y, x.start, x.end, time_text)
    for place, arm in enumerate(arms):
        _arm(drawing, [run for run in runs if run.arm == arm], _look(place, len(arms)), x, y)
    end = _draw_lanes(drawing, lanes, x, bottom)
    if not lanes:
        drawing.text(x.start, end + 14, "no run was flagged, voided or throttled", "ew-m", room=x.end - x.start)
        end += _LANE + 2
    for one in side:
        end = _side_panel(drawing, one, x, end + 26)
    whole = [tick for tick in x.ticks(48) if tick == int(tick)]
    x_axis(drawing, x, end + 4, end + 4, number_text, ticks=whole)
    drawing.text(x.end, end + 36, "runs in the order they were made →", "ew-m", anchor="end")
    return drawing.svg(caption, end + 44)


def _legend(runs: Sequence[RunMark], arms: Sequence[str]) -> list[tuple[str, str]]:
    entries = []
    for place, arm in enumerate(arms):
        shape, look, colour = _look(place, len(arms))
        counted = [run.median_ns for run in runs if run.arm == arm and run.median_ns is not None and not run.voided]
        words = f"{arm}: median of {len(counted)} runs {time_text(median(counted))}" if counted else f"{arm}: no run"
        entries.append((f"{shape} ew-{look}{colour}", words))
    if any(run.voided and run.median_ns is not None for run in runs):
        entries.append(("cross ew-lbad", "voided, not counted"))
    return entries


def _look(place: int, arms: int) -> _Look:
    return _ARMS[min(place if arms > 1 else 1, len(_ARMS) - 1)]


def _arm(drawing: Drawing, runs: Sequence[RunMark], arm_look: _Look, x: Scale, y: Scale) -> None:
    shape, look, colour = arm_look
    ordered = sorted((run for run in runs if run.median_ns is not None), key=lambda run: run.order)
    counted = [(run.order, run.median_ns) for run in ordered if not run.voided and run.median_ns is not None]
    if counted:
        middle = y(median(value for _, value in counted))
        drawing.line(x.start, middle, x.end, middle, f"ew-e{colour} ew-thin")
        drawing.polyline([(x(order), y(value)) for order, value in counted], f"ew-e{colour} ew-open")
    for run in ordered:
        assert run.median_ns is not None
        hover = f"{_name(run)}: {time_text(run.median_ns)}. {run.voided or ', '.join(run.flags)}"
        at, up = x(run.order), y(run.median_ns)
        if run.voided:
            drawing.mark("cross", at, up, 4, "ew-lbad", hover=hover)
        else:
            drawing.mark(shape, at, up, 4, f"ew-{look}{colour}", hover=hover)


def _lanes(runs: Sequence[RunMark], throttled: Sequence[int]) -> dict[str, list[tuple[int, str]]]:
    lanes: dict[str, list[tuple[int, str]]] = {}
    for run in runs:
        for flag in run.flags:
            lanes.setdefault(flag, []).append((run.order, f"{_name(run)}: {flag}"))
    for run in runs:
        if run.voided:
            lanes.setdefault("voided", []).append((run.order, f"{_name(run)}: {run.voided}"))
    for order in throttled:
        lanes.setdefault("throttled", []).append((order, f"run {order}: the machine throttled"))
    return lanes


def _name(run: RunMark) -> str:
    return f"run {run.order}, {run.arm}" if run.arm else f"run {run.order}"


def _draw_lanes(drawing: Drawing, lanes: dict[str, list[tuple[int, str]]], x: Scale, bottom: float) -> float:
    y = bottom + 4
    for name, events in lanes.items():
        middle = y + _LANE / 2
        drawing.line(x.start, middle, x.end, middle, "ew-grid")
        drawing.text(x.start - 6, middle + 4, name, "ew-s", anchor="end", room=x.start - 8)
        shape: Shape = "cross" if name == "voided" else "down" if name == "throttled" else "diamond"
        css = "ew-lbad" if name == "voided" else "ew-fbad" if name == "throttled" else "ew-fopen"
        for order, words in events:
            drawing.mark(shape, x(order), middle, 4, css, hover=words)
        y += _LANE
    return y


def _side_gutter(one: SideSeries) -> float:
    known = [value for _, value in one.readings if value is not None]
    return gutter(fitted(known, _SIDE, 0), number_text, room=24) if known else 0


def _side_panel(drawing: Drawing, one: SideSeries, x: Scale, top: float) -> float:
    known = [value for _, value in one.readings if value is not None]
    drawing.text(x.start, top - 6, f"{one.label} ({one.unit})", "ew-m", room=x.end - x.start)
    if not known:
        drawing.text(x.start, top + 12, "could not be read on this machine", "ew-m", room=x.end - x.start)
        return top + 20
    bottom = top + _SIDE
    y = fitted(known, bottom - 6, top + 6)
    y_axis(drawing, y, x.start, x.end, number_text, room=24)
    stretch: list[tuple[float, float]] = []
    for at, value in _spread(one.readings):
        if value is None:
            drawing.polyline(stretch, "ew-l3")
            stretch = []
        else:
            stretch.append((x(at), y(value)))
            drawing.mark("circle", *stretch[-1], 1.8, "ew-f3")
    drawing.polyline(stretch, "ew-l3")
    return bottom


def _spread(readings: Sequence[tuple[int, float | None]]) -> list[tuple[float, float | None]]:
    """Readings of one run side by side over its place, which is one wide."""
    in_run: dict[int, list[float | None]] = {}
    for order, value in readings:
        in_run.setdefault(order, []).append(value)
    return [
        (order + (index + 0.5) / len(values) - 0.5, value)
        for order, values in sorted(in_run.items())
        for index, value in enumerate(values)
    ]
