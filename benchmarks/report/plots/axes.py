"""What plots with two axes share: grid, ticks and their words."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.report.plots.figures import Show, distinct
from edgewright.benchmarks.report.plots.lettering import SMALL, text_width
from edgewright.benchmarks.report.plots.scales import Scale
from edgewright.benchmarks.report.plots.svg import Drawing

_BESIDE = 8.0


def x_axis(
    drawing: Drawing, scale: Scale, top: float, bottom: float, show: Show, *, ticks: Sequence[float] | None = None
) -> None:
    """Grid lines from ``top`` to ``bottom`` and the ticks' figures under them, left out where they would touch."""
    taken = -1.0
    shown = ticks if ticks is not None else scale.ticks(72)
    for tick, words in zip(shown, distinct(shown, show), strict=True):
        x = scale(tick)
        half = text_width(words, SMALL) / 2
        drawing.line(x, top, x, bottom, "ew-grid")
        middle = min(max(x, half), drawing.width - half)
        if middle - half >= taken:
            drawing.text(middle, bottom + 15, words, "ew-s", anchor="middle")
            taken = middle + half + _BESIDE
    drawing.line(min(scale.start, scale.end), bottom, max(scale.start, scale.end), bottom, "ew-axis")


def y_axis(drawing: Drawing, scale: Scale, left: float, right: float, show: Show, *, room: float = 40) -> None:
    """Grid lines from ``left`` to ``right`` and the ticks' figures left of them; ``room`` pixels between two."""
    ticks = scale.ticks(room)
    for tick, words in zip(ticks, distinct(ticks, show), strict=True):
        y = scale(tick)
        drawing.line(left, y, right, y, "ew-grid")
        drawing.text(left - 6, y + 4, words, "ew-s", anchor="end", room=left - 6)


def gutter(scale: Scale, show: Show, *, room: float = 40) -> float:
    """Pixels that the figures of a y axis need on its left."""
    return max((text_width(words, SMALL) for words in distinct(scale.ticks(room), show)), default=0) + 10


def legend(drawing: Drawing, x: float, y: float, entries: Sequence[tuple[str, str]], right: float) -> float:
    """Marks with their words in rows from base line ``y`` on; the base line of the last row.

    Each entry is ``shape class`` (such as ``circle ew-f1``, or ``line ew-l1``) and its words.
    """
    at = x
    for key, words in entries:
        shape, css = key.split(" ", 1)
        room = min(text_width(words), right - x - 20)
        if at > x and at + 18 + room > right:
            at, y = x, y + 18
        _sample(drawing, shape, css, at + 6, y - 4)
        drawing.text(at + 17, y, words, "ew-m", room=room + 1)
        at += 17 + room + 16
    return y


def _sample(drawing: Drawing, shape: str, css: str, x: float, y: float) -> None:
    match shape:
        case "line":
            drawing.line(x - 6, y, x + 6, y, css)
        case "bar":
            drawing.rect(x - 6, y - 4, 12, 8, css)
        case "circle" | "square" | "triangle" | "diamond" | "pentagon" | "down" | "cross":
            drawing.mark(shape, x, y, 4.5, css)
        case _:
            raise AssertionError(shape)
