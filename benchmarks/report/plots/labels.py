"""Labels beside the marks they name, none over another; what finds no place gets a number and a line below."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.benchmarks.report.plots.lettering import LINE, text_width
from edgewright.benchmarks.report.plots.svg import Anchor, Drawing

_UP, _DOWN = 9.0, 4.0
"""How far letters reach above and below their base line."""


@dataclass(frozen=True)
class _Box:
    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: _Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def is_in(self, other: _Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


class Labels:
    """The labels of one plot inside ``frame`` (left, top, right, bottom)."""

    def __init__(self, drawing: Drawing, frame: tuple[float, float, float, float]) -> None:
        self._drawing = drawing
        self._frame = _Box(*frame)
        self._taken: list[_Box] = []
        self._lines: list[_Box] = []
        self._listed: list[str] = []

    def keep_clear(self, x: float, y: float, radius: float) -> None:
        """Marks a place where no label may lie."""
        self._taken.append(_Box(x - radius, y - radius, x + radius, y + radius))

    def avoid(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Marks an upright or level line that labels lie on only where they find no other place."""
        self._lines.append(_Box(min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))

    def add(self, x: float, y: float, radius: float, words: str, *, by_number: bool = False) -> None:
        """Writes ``words`` beside the mark; a number there, ``by_number`` or when they do not fit."""
        if not by_number and self._wrote(x, y, radius, words, spare_lines=True):
            return
        index = str(len(self._listed) + 1)
        if self._wrote(x, y, radius, index, spare_lines=True) or self._wrote(x, y, radius, index, spare_lines=False):
            self._listed.append(f"{index}: {words}")
        else:
            self._listed.append(f"{index}: {words} (no room for its number)")

    def write(self, y: float) -> float:
        """Writes the numbered ones in columns from base line ``y`` on; the base line after them."""
        if not self._listed:
            return y
        columns = 1 if self._drawing.is_narrow else 2
        room = self._drawing.width / columns
        rows = (len(self._listed) + columns - 1) // columns
        for place, words in enumerate(self._listed):
            column, row = divmod(place, rows)
            self._drawing.text(column * room, y + row * LINE, words, "ew-m", room=room - 12)
        return y + rows * LINE

    def _wrote(self, x: float, y: float, radius: float, words: str, *, spare_lines: bool) -> bool:
        wide, beside = text_width(words), radius + 5
        above, below = y - radius - 6, y + radius + 12
        places: tuple[tuple[float, float, Anchor], ...] = (
            (x + beside, y + 4, "start"),
            (x - beside, y + 4, "end"),
            (x, above, "middle"),
            (x, below, "middle"),
            (x + 4, above, "start"),
            (x + 4, below, "start"),
            (x - 4, above, "end"),
            (x - 4, below, "end"),
        )
        obstacles = [*self._taken, *self._lines] if spare_lines else self._taken
        for at, base, anchor in places:
            left = at - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
            box = _Box(left, base - _UP, left + wide, base + _DOWN)
            if box.is_in(self._frame) and not any(box.touches(other) for other in obstacles):
                self._taken.append(box)
                self._drawing.text(at, base, words, "ew-halo", anchor=anchor)
                return True
        return False
