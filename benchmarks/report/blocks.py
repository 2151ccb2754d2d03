"""What a report is written with: a few kinds of blocks, which HTML and Markdown each put down in their own way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from edgewright.benchmarks.report.plots import Caption

OneSize = Literal["narrow", "wide"]
Tone = Literal["plain", "good", "bad", "unsure", "none"]


@dataclass(frozen=True)
class Badge:
    """A word or two that stands out."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True)
class Cell:
    """One cell of a table: a figure or a name, what it comes with, and why it is missing."""

    text: str
    detail: str = ""
    """A second line that is not broken: the interval."""
    more: str = ""
    """A third line."""
    tone: Tone = "plain"
    why: int | None = None
    """The number of the reason under the table."""
    badges: tuple[Badge, ...] = ()
    link: str = ""
    """The key of a place on this page."""


@dataclass(frozen=True)
class Column:
    """A head of a table."""

    text: str
    number: bool = False
    """Whether its cells line up at the right."""


@dataclass(frozen=True)
class Table:
    """Rows whose first cell names them."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    reasons: tuple[str, ...] = ()
    """Why figures are missing, by number from 1."""
    wide: bool = False
    """Whether it becomes cards where the window is narrow; else it scrolls."""


@dataclass(frozen=True)
class Plot:
    """A drawing for two widths, with its words."""

    caption: Caption
    draw: Callable[[int], str]
    only: OneSize | None = None
    """The one size that must do for wide and narrow windows; None draws both."""


@dataclass(frozen=True)
class Line:
    """One paragraph, and a command that goes with it."""

    text: str
    command: str = ""
    tone: Tone = "plain"


@dataclass(frozen=True)
class Lines:
    """Several short remarks."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    label: str
    text: str


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Fold:
    """What opens on request."""

    key: str
    summary: str
    blocks: tuple[Block, ...]
    detail: str = ""
    """What it comes to, so that one need not open it."""


Block = Table | Plot | Line | Lines | Code | Facts | Fold


@dataclass(frozen=True)
class Section:
    """One part of the report; an absent one is a line that says how to get it."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""
    absent: bool = False


@dataclass(frozen=True)
class Card:
    """One comparison, in words."""

    tone: Tone
    word: str
    title: str
    figure: str
    detail: str


@dataclass(frozen=True)
class Verdict:
    """What stands first: the one sentence, the comparisons behind it, and what this machine could have seen."""

    tone: Tone
    word: str
    sentence: str
    command: str
    cards: tuple[Card, ...]
    more: str
    facts: tuple[tuple[str, str, str], ...]
    """Name, figure, and what it belongs to."""
    noise: tuple[Line, ...]


@dataclass(frozen=True)
class Page:
    """All of a report."""

    title: str
    subtitle: str
    verdict: Verdict
    sections: tuple[Section, ...]
    remarks: tuple[str, ...]


def absent_section(key: str, title: str, text: str, command: str) -> Section:
    """What stands for a section that there is nothing for: why, and the command that would fill it."""
    return Section(key, title, (Line(text, command, tone="none"),), absent=True)
