"""Labels beside the marks they name, none over another; what finds no place gets a number and a line below."""

from __future__ import annotations

from dataclasses import dataclass

from edgewright.benchmarks.report.plots.lettering import LINE, elided, text_width
from edgewright.benchmarks.report.plots.svg import Anchor, Drawing

_UP, _DOWN = 9.0, 4.0
"""How far letters reach above and below their base line."""
_LONGEST = 190.0


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
        self._listed: list[str] = []

    def keep_clear(self, x: float, y: float, radius: float) -> None:
        """Marks a place where no label may lie."""
        self._taken.append(_Box(x - radius, y - radius, x + radius, y + radius))

    def add(self, x: float, y: float, radius: float, words: str) -> None:
        """Writes ``words`` beside the mark, or a number there when they fit nowhere."""
        if self._wrote(x, y, radius, elided(words, min(_LONGEST, self._drawing.width * 0.42))):
            return
        index = str(len(self._listed) + 1)
        if self._wrote(x, y, radius, index):
            self._listed.append(f"{index}  {words}")
        else:
            self._listed.append(f"{index}  {words} (its mark is among others; no room for its number)")

    def write(self, y: float) -> float:
        """Writes the numbered ones in columns from base line ``y`` on; the base line after them."""
        if not self._listed:
            return y
        columns = 1 if self._drawing.is_narrow else 2
        room = self._drawing.width / columns
        for place, words in enumerate(self._listed):
            row, column = divmod(place, columns)
            self._drawing.text(column * room, y + row * LINE, words, "ew-m", room=room - 12)
        return y + (len(self._listed) + columns - 1) // columns * LINE

    def _wrote(self, x: float, y: float, radius: float, words: str) -> bool:
        wide, beside = text_width(words), radius + 5
        places: tuple[tuple[float, float, Anchor], ...] = (
            (x + beside, y + 4, "start"),
            (x - beside, y + 4, "end"),
            (x, y - radius - 6, "middle"),
            (x, y + radius + 13, "middle"),
            (x + beside * 0.6, y - radius - 3, "start"),
            (x + beside * 0.6, y + radius + 11, "start"),
            (x - beside * 0.6, y - radius - 3, "end"),
            (x - beside * 0.6, y + radius + 11, "end"),
        )
        for at, base, anchor in places:
            left = at - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
            box = _Box(left, base - _UP, left + wide, base + _DOWN)
            if box.is_in(self._frame) and not any(box.touches(other) for other in self._taken):
                self._taken.append(box)
                self._drawing.text(at, base, words, "ew-halo", anchor=anchor)
                return True
        return False
