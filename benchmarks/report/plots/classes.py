"""What became of each class."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.plots.axes import legend, x_axis
from edgewright.benchmarks.report.plots.figures import number_text, signed_text
from edgewright.benchmarks.report.plots.lettering import text_width
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import WIDE, Caption, Drawing, absent
from edgewright.benchmarks.trace import ClassDelta


def classes(rows: Sequence[ClassDelta], caption: Caption, *, top: int = 20, width: int = WIDE) -> str:
    """Share of right answers before and after for the ``top`` classes that moved most, and how many did not.

    Drawn from the largest loss to the largest gain; points are percentage points.
    """
    if not rows:
        return absent(caption, "There are no figures by class.", width)
    moved = sorted((row for row in rows if row.value != row.reference), key=lambda row: -abs(_delta(row)))
    shown = sorted(moved[:top], key=_delta)
    if not shown:
        return absent(caption, f"None of the {len(rows)} classes has more or fewer right answers than before.", width)
    drawing = Drawing(width)
    entries = [("circle ew-h6", "before"), ("down ew-fbad", "after, fewer right"), ("triangle ew-fgood", "after, more")]
    start = legend(drawing, 0, 14, entries, width) + 10
    each = 40.0 if drawing.is_narrow else 22.0
    names = 0.0 if drawing.is_narrow else min(max(text_width(_name(row)) for row in shown) + 14, width * 0.34)
    right = width - (8.0 if drawing.is_narrow else 100.0)
    bottom = start + each * len(shown) + 6
    scale = fitted([v for row in shown for v in (row.reference, row.value)], names + 8, right - 4, log=False)
    ticks = [tick for tick in scale.ticks(64) if 0 <= tick <= 1 or max(row.value for row in shown) > 1]
    x_axis(drawing, scale, start, bottom, number_text, ticks=ticks)
    for place, row in enumerate(shown):
        _row(drawing, row, scale, y=start + each * place, height=each, names=names)
    drawing.text(scale.end, bottom + 34, "share of right answers →", "ew-m", anchor="end")
    end = drawing.paragraph(0, bottom + 56, _others(rows, moved, len(shown)), width)
    return drawing.svg(caption, end - 6)


def _row(drawing: Drawing, row: ClassDelta, scale: Scale, *, y: float, height: float, names: float) -> None:
    middle = y + height - 9
    points = signed_text(100 * _delta(row), " points")
    if names:
        drawing.text(0, middle + 4, _name(row), room=names - 10)
        drawing.text(drawing.width, middle + 4, points, anchor="end")
    else:
        drawing.text(0, y + 17, _name(row), "ew-b ew-halo", room=drawing.width - text_width(points) - 12)
        drawing.text(drawing.width, y + 17, points, "ew-halo", anchor="end")
    before, after = scale(row.reference), scale(row.value)
    lost = row.value < row.reference
    tint = "bad" if lost else "good"
    drawing.line(before, middle, after, middle, f"ew-l{tint}")
    drawing.mark("circle", before, middle, 4, "ew-h6")
    hover = f"{_name(row)}: {number_text(row.reference)} before, {number_text(row.value)} after"
    drawing.mark("down" if lost else "triangle", after, middle, 4.5, f"ew-f{tint}", hover=hover)


def _others(rows: Sequence[ClassDelta], moved: Sequence[ClassDelta], shown: int) -> str:
    parts = []
    if len(moved) > shown:
        most = max(abs(_delta(row)) for row in moved[shown:])
        parts.append(f"{len(moved) - shown} more classes moved by at most {100 * most:.1f} points")
    still = len(rows) - len(moved)
    if still:
        parts.append(f"{still} of {len(rows)} classes did not move")
    return f"{'; '.join(parts)}." if parts else f"All {len(rows)} classes are shown."


def _delta(row: ClassDelta) -> float:
    return row.value - row.reference


def _name(row: ClassDelta) -> str:
    return f"{row.label} (n={row.n})"
