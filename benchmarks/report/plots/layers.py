"""Where the error and the time are: layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.plots.axes import legend
from edgewright.benchmarks.report.plots.figures import MINUS, time_text
from edgewright.benchmarks.report.plots.lettering import text_width
from edgewright.benchmarks.report.plots.rows import BarPanel, bar_panel
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, absent
from edgewright.benchmarks.trace import LayerTrace

_GAP = 18.0
_ABSENT = "no figure"
_WORDS = (
    "Error: the largest difference of a layer's outputs from the float model's, over the larger of 1 and the largest "
    "output; it gathers from the input on. Time: median by the engine's own profile."
)


def layers(rows: Sequence[LayerTrace], caption: Caption, *, top: int = 16, width: int = WIDE) -> str:
    """Error and time of the ``top`` layers that have most of either, in the model's order; the rest in one row.

    Bars of layers in an integer type are full, those of layers in float are hollow. The row of the rest has the sum
    of their times and the largest of their errors: errors do not add up.
    """
    if not rows:
        return absent(caption, "No layer was traced: compile with --trace.", width)
    shown = _most(rows, top)
    rest = [row for index, row in enumerate(rows) if index not in shown]
    chosen = [rows[index] for index in sorted(shown)]
    drawing = Drawing(width)
    y = legend(drawing, 0, 14, [("bar ew-f1", "integer"), ("bar ew-h1", "float")], width) + 22
    total = sum(row.time_ns or 0.0 for row in rows)
    labels = [row.name for row in chosen] + ([_rest_name(rest)] if rest else [])
    names = 0.0 if drawing.is_narrow else min(max(text_width(label) for label in labels) + 14, width * 0.34)
    error, time = _panels(drawing, chosen, names)
    drawing.text(names, y, "error", "ew-m")
    drawing.text(error.right + _GAP, y, "time", "ew-m")
    y += 8
    for row in chosen:
        y = _row(drawing, row, error, time, y=y, names=names, total=total)
    if rest:
        y = _rest(drawing, rest, error, time, y=y, names=names, total=total)
    end = drawing.paragraph(0, y + 22, _WORDS, width)
    return drawing.svg(caption, end - 8)


def _most(rows: Sequence[LayerTrace], top: int) -> set[int]:
    """Places of the layers to draw: in turn the next by error and the next by time, until there are ``top``."""
    by_error = sorted((i for i, row in enumerate(rows) if row.error is not None), key=lambda i: -(rows[i].error or 0))
    by_time = sorted(
        (i for i, row in enumerate(rows) if row.time_ns is not None), key=lambda i: -(rows[i].time_ns or 0)
    )
    chosen: dict[int, None] = {}
    for place in range(len(rows)):
        for ranked in (by_error, by_time):
            if place < len(ranked) and len(chosen) < top:
                chosen[ranked[place]] = None
    for index in range(len(rows)):
        if len(chosen) < top:
            chosen[index] = None
    # One row more costs less than a row of "the other one".
    if len(rows) == len(chosen) + 1:
        return set(range(len(rows)))
    return set(chosen)


def _panels(drawing: Drawing, chosen: Sequence[LayerTrace], names: float) -> tuple[BarPanel, BarPanel]:
    middle = names + (drawing.width - names - _GAP) / 2
    errors = [row.error for row in chosen if row.error is not None]
    times = [row.time_ns for row in chosen if row.time_ns is not None]
    return (
        bar_panel(drawing, errors, names, middle, _error_text, after=text_width("≤ ")),
        bar_panel(drawing, times, middle + _GAP, drawing.width, time_text, after=45),
    )


def _row(
    drawing: Drawing, row: LayerTrace, error: BarPanel, time: BarPanel, *, y: float, names: float, total: float
) -> float:
    bars = _head(drawing, row.name, f"{row.op}, {row.precision}", y, names)
    look = "f" if "int" in row.precision else "h"
    if row.error is None:
        error.nothing(bars, row.why_none("error") or _ABSENT)
    else:
        error.bar(bars, row.error, f"ew-{look}1")
    if row.time_ns is None:
        time.nothing(bars, row.why_none("time") or _ABSENT)
    else:
        time.bar(bars, row.time_ns, f"ew-{look}4", after=_share(row.time_ns, total))
    return bars + (18 if drawing.is_narrow else 13)


def _rest(
    drawing: Drawing,
    rest: Sequence[LayerTrace],
    error: BarPanel,
    time: BarPanel,
    *,
    y: float,
    names: float,
    total: float,
) -> float:
    drawing.line(0, y + 3, drawing.width, y + 3, "ew-axis")
    bars = _head(drawing, _rest_name(rest), "largest, summed", y + 6, names)
    errors = [row.error for row in rest if row.error is not None]
    times = [row.time_ns for row in rest if row.time_ns is not None]
    if errors:
        error.nothing(bars, f"at most {_error_text(max(errors))}")
    else:
        error.nothing(bars, _ABSENT)
    if times:
        time.nothing(bars, f"{time_text(sum(times))} {_share(sum(times), total)}")
    else:
        time.nothing(bars, _ABSENT)
    return bars + (18 if drawing.is_narrow else 13)


def _head(drawing: Drawing, name: str, details: str, y: float, names: float) -> float:
    """Writes what the row is; where its bars have their middle."""
    if names:
        drawing.text(0, y + 15, name, room=names - 10)
        return y + 11
    room = max(drawing.width - text_width(details) - 12, drawing.width / 2)
    drawing.text(0, y + 16, name, "ew-b", room=room)
    drawing.text(drawing.width, y + 16, details, "ew-m", anchor="end", room=drawing.width - room - 6)
    return y + 29


def _rest_name(rest: Sequence[LayerTrace]) -> str:
    return f"the other {len(rest)} layers"


def _share(value: float, total: float) -> str:
    if total <= 0:
        return ""
    share = 100 * value / total
    return "<1 %" if 0 < share < 1 else f"{share:.0f} %"


def _error_text(value: float) -> str:
    return f"{value:.2g}".replace("-", MINUS)
