"""Ratios to a baseline with their intervals, and what the gate made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgewright.benchmarks.record import Verdict
from edgewright.benchmarks.report.plots.axes import x_axis
from edgewright.benchmarks.report.plots.figures import number_text, signed_text
from edgewright.benchmarks.report.plots.lettering import BOLD, SMALL, text_width
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, Shape, absent

_VERDICTS: dict[Verdict | None, tuple[Shape, str, str]] = {
    "pass": ("circle", "ew-fgood", "pass"),
    "regressed": ("triangle", "ew-fbad", "regressed"),
    "inconclusive": ("diamond", "ew-hopen", "inconclusive"),
    None: ("square", "ew-h6", "not judged"),
}
_TINTS: dict[Verdict | None, str] = {"pass": "good", "regressed": "bad", "inconclusive": "open", None: "6"}


@dataclass(frozen=True)
class ForestRow:
    """One comparison; a ratio below 1 is faster than the baseline."""

    label: str
    ratio: float | None
    ci95: tuple[float, float] | None = None
    verdict: Verdict | None = None
    note: str = ""
    """Why there is no ratio, or what to know about it."""

    @property
    def drawn(self) -> float | None:
        """The ratio where it can stand on a log scale."""
        return self.ratio if self.ratio is not None and self.ratio > 0 else None


@dataclass(frozen=True)
class _Columns:
    """Where the parts of a row stand."""

    label: float
    """Room for labels; 0 where they stand above their row."""
    left: float
    right: float
    row: float
    figures: float
    """Room for the figures right of the plot."""


def forest(rows: Sequence[ForestRow], caption: Caption, *, delta: float | None = 0.02, width: int = WIDE) -> str:
    """One line a comparison on a log scale, with lines at 1 and at ``1 + delta``; the verdict is a shape and a word.

    Where ``delta`` is None nobody knows what was allowed, and the only line is at 1.
    """
    if not rows:
        return absent(caption, "Nothing was compared with a baseline.", width)
    drawing = Drawing(width)
    columns = _columns(drawing, rows)
    scale = _scale(rows, delta, columns)
    top, bottom = 26.0, 30.0 + len(rows) * columns.row
    one = scale(1.0)
    limit = None if delta is None else scale(1.0 + delta)
    if limit is not None:
        drawing.rect(one, top, limit - one, bottom - top, "ew-band")
    x_axis(drawing, scale, top, bottom, number_text, ticks=_ticks(scale))
    drawing.line(one, top, one, bottom, "ew-one")
    if limit is not None and delta is not None:
        drawing.line(limit, top, limit, bottom, "ew-limit")
        _limit_words(drawing, scale, delta, top - 8)
    for place, row in enumerate(rows):
        _row(drawing, row, columns, scale, 30.0 + place * columns.row)
    drawing.text(columns.left, bottom + 34, "← faster than the baseline", "ew-m")
    if columns.right - columns.left > 280:
        drawing.text(columns.right, bottom + 34, "slower →", "ew-m", anchor="end")
    return drawing.svg(caption, bottom + 42)


def _columns(drawing: Drawing, rows: Sequence[ForestRow]) -> _Columns:
    if drawing.is_narrow:
        return _Columns(0, 12, drawing.width - 12, 62, 0)
    label = min(max(text_width(row.label) for row in rows) + 14, drawing.width * 0.3)
    figures = min(max(text_width(_figures(row)) for row in rows) + 12, drawing.width * 0.28)
    return _Columns(label, label, drawing.width - figures - 112, 34, figures)


def _scale(rows: Sequence[ForestRow], delta: float | None, columns: _Columns) -> Scale:
    values = [1.0, 1.0 + (delta or 0.0), 0.95, 1.05]
    for row in rows:
        if row.drawn is not None:
            values += [row.drawn, *(v for v in row.ci95 or () if v > 0)]
    return fitted(values, columns.left + 8, columns.right - 8, log=True)


def _ticks(scale: Scale) -> tuple[float, ...]:
    ticks = scale.ticks(64)
    return tuple(tick for tick in ticks if tick > 0)


def _limit_words(drawing: Drawing, scale: Scale, delta: float, y: float) -> None:
    words = f"{signed_text(100 * delta, ' %')} allowed"
    x = scale(1.0 + delta)
    if x + 6 + text_width(words, SMALL) < drawing.width:
        drawing.text(x + 4, y, words, "ew-s")
    else:
        drawing.text(x, y, words, "ew-s", anchor="end")


def _row(drawing: Drawing, row: ForestRow, columns: _Columns, scale: Scale, y: float) -> None:
    middle = y + (48 if drawing.is_narrow else columns.row / 2)
    shape, css, verdict = _VERDICTS[row.verdict]
    figures = _figures(row)
    if drawing.is_narrow:
        # The base line of the label is above the interval; a pale gap between rows keeps them together.
        words = verdict if row.drawn is None else f"{verdict}, {figures}"
        taken = min(max(text_width(row.label, BOLD), 17 + text_width(words)) + 4, drawing.width)
        drawing.rect(0, y + 2, taken, 35, "ew-page")
        drawing.text(0, y + 15, row.label, "ew-b", room=drawing.width)
        drawing.mark(shape, 6, y + 28, 4.5, css)
        drawing.text(17, y + 32, words, room=drawing.width - 17)
    else:
        drawing.label(0, middle, row.label, columns.label - 10)
        drawing.text(columns.right + 12, middle + 4, figures, "ew-m", room=columns.figures)
        drawing.mark(shape, drawing.width - 90, middle, 4.5, css)
        drawing.text(drawing.width - 80, middle + 4, verdict, room=80)
    if row.drawn is None:
        at = columns.left + 8
        drawing.remark(at, middle + 4, _why(row), columns.right - at)
        return
    tint = _TINTS[row.verdict]
    if row.ci95 is not None:
        low, high = (scale(max(value, scale.low)) for value in row.ci95)
        drawing.line(low, middle, high, middle, f"ew-l{tint}")
        for end in (low, high):
            drawing.line(end, middle - 4, end, middle + 4, f"ew-l{tint}")
    drawing.mark(shape, scale(row.drawn), middle, 5, css, hover=f"{row.label}: {figures}, {verdict}. {row.note}")


def _figures(row: ForestRow) -> str:
    if row.drawn is None:
        return "—"
    interval = f" ({_ratio(row.ci95[0])}\N{EN DASH}{_ratio(row.ci95[1])})" if row.ci95 else ""
    return f"{_ratio(row.drawn)}{interval}"


def _ratio(value: float) -> str:
    return f"{value:.3f}" if 0.001 <= value < 100 else number_text(value, 3)


def _why(row: ForestRow) -> str:
    return f"no ratio: {row.note}" if row.note else "no ratio"
