"""What plots with one row a thing share: a panel of bars on one scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.plots.lettering import text_width
from edgewright.benchmarks.report.plots.scales import Scale, fitted
from edgewright.benchmarks.report.plots.svg import Drawing

_GAP = 6.0


@dataclass(frozen=True)
class BarPanel:
    """Bars from zero between ``left`` and ``right``, each with its figure behind it."""

    drawing: Drawing
    scale: Scale
    right: float
    show: Callable[[float], str]

    def bar(
        self,
        y: float,
        value: float,
        css: str,
        *,
        before: float | None = None,
        interval: tuple[float, float] | None = None,
        after: str = "",
    ) -> None:
        """A bar around ``y``; ``before`` leaves a pale trace of another value, ``after`` follows the figure."""
        zero, end = self.scale(0), self.scale(value)
        if before is not None and before > value:
            self.drawing.rect(zero, y - 6, self.scale(before) - zero, 12, "ew-p6")
        self.drawing.rect(min(zero, end), y - 6, max(abs(end - zero), 0.75), 12, css)
        at = max(zero, end) if before is None else max(zero, end, self.scale(before))
        if interval is not None:
            low, high = self.scale(interval[0]), self.scale(interval[1])
            self.drawing.line(low, y, high, y, "ew-one")
            at = max(at, high)
        figure = self.show(value)
        self.drawing.text(at + _GAP, y + 4, figure, room=self.right - at - _GAP)
        if after:
            at += _GAP + text_width(figure) + 5
            self.drawing.text(at, y + 4, after, "ew-m", room=max(self.right - at, 0))

    def nothing(self, y: float, words: str) -> None:
        """Words where there is no bar."""
        self.drawing.text(self.scale.start + 2, y + 4, words, "ew-m", room=self.right - self.scale.start - 2)


def bar_panel(
    drawing: Drawing,
    values: Sequence[float],
    left: float,
    right: float,
    show: Callable[[float], str],
    *,
    after: float = 0,
) -> BarPanel:
    """A panel whose longest bar leaves room for the widest figure and for ``after`` pixels of words behind it."""
    words = max((text_width(show(value)) for value in values), default=0) + after
    room = max(right - left - words - _GAP - 4, 12)
    return BarPanel(drawing, fitted(values, left, left + room, from_zero=True), right, show)
