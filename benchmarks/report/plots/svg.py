"""A small writer of SVG: numbers rounded, every text escaped, no style attributes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from edgewright.benchmarks.report.plots.lettering import BOLD, LINE, SIZE, SMALL, elided, plain, text_width, wrapped

WIDE = 760
"""Pixels a drawing is laid out for on a desk."""
NARROW = 350
"""Pixels a drawing is laid out for on a phone."""

Anchor = Literal["start", "middle", "end"]
Shape = Literal["circle", "square", "triangle", "diamond", "pentagon", "down", "cross"]
Points = Sequence[tuple[float, float]]

# Corners on the unit circle's scale, so that every shape weighs about as much as the circle.
_CORNERS: dict[Shape, Points] = {
    "square": ((-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)),
    "triangle": ((0, -1.2), (1.1, 0.75), (-1.1, 0.75)),
    "down": ((0, 1.2), (1.1, -0.75), (-1.1, -0.75)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "pentagon": ((0, -1.15), (1.09, -0.36), (0.68, 0.93), (-0.68, 0.93), (-1.09, -0.36)),
}
_LONGEST_HOVER = 300


@dataclass(frozen=True)
class Caption:
    """What a plot is called and what it shows, for those who cannot see it too."""

    key: str
    """Unique on the page; ids are made of it and of the width, so both layouts of a plot may share one."""
    title: str
    description: str
    """One or two sentences: what it shows and what the figures come to."""


class Drawing:
    """Collects the elements of one plot, in CSS pixels from the upper left corner."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._parts: list[str] = []

    @property
    def is_narrow(self) -> bool:
        """Whether labels go above what they name rather than beside it."""
        return self.width < (NARROW + WIDE) // 2

    def line(self, x1: float, y1: float, x2: float, y2: float, css: str) -> None:
        """A straight line."""
        places = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._parts.append(f'<line class="{css}" {places}/>')

    def rect(self, x: float, y: float, width: float, height: float, css: str, *, hover: str = "") -> None:
        """An upright rectangle."""
        sides = f'width="{number(max(width, 0))}" height="{number(max(height, 0))}"'
        self._element("rect", css, f'x="{number(x)}" y="{number(y)}" {sides}', hover)

    def polyline(self, points: Points, css: str, *, closed: bool = False, hover: str = "") -> None:
        """Straight lines through ``points``; nothing for none."""
        if points:
            steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
            self._element("path", css, f'd="M{steps}{"Z" if closed else ""}"', hover)

    def mark(self, shape: Shape, x: float, y: float, radius: float, css: str, *, hover: str = "") -> None:
        """A shape about ``radius`` in size around a place."""
        if shape == "circle":
            self._element("circle", css, f'cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"', hover)
        elif shape == "cross":
            a, b, c, d = number(x - radius), number(x + radius), number(y - radius), number(y + radius)
            self._element("path", css, f'd="M{a} {c}L{b} {d}M{a} {d}L{b} {c}"', hover)
        else:
            corners = [(x + dx * radius, y + dy * radius) for dx, dy in _CORNERS[shape]]
            self.polyline(corners, css, closed=True, hover=hover)

    def text(
        self,
        x: float,
        y: float,
        words: str,
        css: str = "",
        *,
        anchor: Anchor = "start",
        room: float | None = None,
        hover: str = "",
    ) -> None:
        """Words on a base line, cut to ``room`` pixels; a cut text has the whole of it on hovering."""
        size = {"ew-b": BOLD, "ew-s": SMALL}.get(css.partition(" ")[0], SIZE)
        shown = plain(words) if room is None else elided(words, room, size)
        attributes = f'x="{number(x)}" y="{number(y)}"' + (f' text-anchor="{anchor}"' if anchor != "start" else "")
        whole = hover or (words if shown != plain(words) else "")
        opening = f'<text class="{css}" {attributes}>' if css else f"<text {attributes}>"
        self._parts.append(f"{opening}{escape(shown)}{_hover(whole)}</text>")

    def label(self, x: float, middle: float, words: str, room: float) -> None:
        """What a row is called, in one line or two, around ``middle``; a name that two cannot hold is cut."""
        lines = wrapped(words, room, most=2)
        is_cut = " ".join(lines) != plain(words)
        for place, line in enumerate(lines):
            y = middle + 4 + 14 * (place - (len(lines) - 1) / 2)
            self.text(x, y, line, hover=words if is_cut else "")

    def remark(self, x: float, y: float, words: str, room: float) -> None:
        """Words on paper of their own, so that no line shows through them."""
        shown = elided(words, room)
        self.rect(x - 2, y - 12, text_width(shown) + 4, 16, "ew-page")
        self.text(x, y, words, "ew-m", room=room)

    def paragraph(self, x: float, y: float, words: str, room: float, css: str = "ew-m") -> float:
        """Words broken into lines of at most ``room`` pixels from base line ``y`` on; the base line after them."""
        for line in wrapped(words, room):
            self.text(x, y, line, css, room=room)
            y += LINE
        return y

    def svg(self, caption: Caption, height: float) -> str:
        """The whole element, with what it is called for screen readers."""
        name = f"{identifier(caption.key)}-{self.width}"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="ew" viewBox="0 0 {self.width} {number(height)}" '
            f'role="img" aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(plain(caption.title))}'
            f'</title><desc id="{name}-d">{escape(plain(caption.description))}</desc>{"".join(self._parts)}</svg>'
        )

    def _element(self, name: str, css: str, attributes: str, hover: str) -> None:
        inside = _hover(hover)
        end = f">{inside}</{name}>" if inside else "/>"
        self._parts.append(f'<{name} class="{css}" {attributes}{end}')


def absent(caption: Caption, reason: str, width: int) -> str:
    """The drawing of a plot that has nothing to show: the reason, in words."""
    drawing = Drawing(width)
    end = drawing.paragraph(12, 30, reason, width - 24)
    drawing.rect(0.5, 0.5, width - 1, end - 8, "ew-empty")
    return drawing.svg(caption, end - 7)


def identifier(key: str) -> str:
    """``key`` as an id: letters, digits, dot and dash, with a digest where something had to be replaced."""
    proper = re.sub(r"[^A-Za-z0-9_.-]", "-", key)
    return proper if proper == key else f"{proper}-{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:8]}"


def number(value: float) -> str:
    """A coordinate with at most two decimals.

    >>> number(3.0), number(-0.001), number(2.456)
    ('3', '0', '2.46')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _hover(words: str) -> str:
    if not words:
        return ""
    shown = plain(words)
    return f"<title>{escape(shown if len(shown) <= _LONGEST_HOVER else f'{shown[:_LONGEST_HOVER]}…')}</title>"
