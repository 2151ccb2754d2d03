"""Words in a drawing: what is safe to show, how wide it comes out, and where it breaks."""

from __future__ import annotations

import re
import unicodedata

from edgewright.core.foreign_text import spelt_out

SIZE = 12.0
"""Pixels of the type everything is set in."""
SMALL = 11.0
"""Pixels of the figures along axes."""
BOLD = 13.5
"""The size at which plain letters would be as wide as bold ones of :data:`SIZE`."""
LINE = 17.0
"""Pixels from one base line to the next."""

_LONGEST = 2000
"""Letters of a paragraph."""

_SPACE = re.compile(r"\s+")

# Widths in em, those of DejaVu Sans or a little more: it is the widest of what browsers take for sans-serif.
_WIDTHS = {
    **dict.fromkeys("ijl.,:;'|!I`·", 0.32),
    **dict.fromkeys('frt()[]{}-/\\ "*', 0.4),
    **dict.fromkeys("mwMW@%", 0.96),
    **dict.fromkeys("…—→←", 1.0),
    **dict.fromkeys("cksvxyzJ", 0.56),
    **dict.fromkeys("+=<>~±\N{MINUS SIGN}\N{MULTIPLICATION SIGN}", 0.82),
}


def plain(text: str) -> str:
    r"""``text`` on one line, with what is invisible, forbidden in XML or turns the writing direction spelt out.

    >>> plain("a\u202eb\tc")
    'a\\u202eb c'
    """
    return spelt_out(_SPACE.sub(" ", text))


def text_width(text: str, size: float = SIZE) -> float:
    """Pixels that ``text`` takes at most in a usual sans-serif."""
    return size * sum(_letter(letter) for letter in plain(text))


def elided(text: str, room: float, size: float = SIZE) -> str:
    """``text`` cut in its middle to fit ``room`` pixels; its end, where names differ, is kept longer.

    >>> elided("/layer4/layer4.1/conv2/Conv", 120)
    '/lay…1/conv2/Conv'
    """
    shown = plain(text)
    if len(shown) * 0.32 * size <= room and text_width(shown, size) <= room:
        return shown
    shown = shown if len(shown) <= 400 else f"{shown[:200]}{shown[-200:]}"
    longest, shortest = len(shown), 0
    while shortest < longest:  # how many letters may stay
        kept = (shortest + longest + 1) // 2
        if text_width(_cut(shown, kept), size) <= room:
            shortest = kept
        else:
            longest = kept - 1
    return _cut(shown, shortest)


def wrapped(text: str, room: float, *, most: int = 6) -> list[str]:
    """``text`` in lines of at most ``room`` pixels, broken at spaces; at most ``most`` lines, the last one cut."""
    shown, lines = plain(text), list[str]()
    shown = shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"  # foreign names can be megabytes
    for word in shown.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and (len(lines) == most or text_width(longer) <= room):
            lines[-1] = longer
        else:
            lines.append(word)
    return [elided(line, room) for line in lines]


def _cut(text: str, kept: int) -> str:
    if kept >= len(text):
        return text
    head = kept // 4
    tail = kept - head
    return f"{text[:head]}…{text[len(text) - tail :]}"


def _letter(letter: str) -> float:
    width = _WIDTHS.get(letter)
    if width is not None:
        return width
    if letter.isascii():
        return 0.72 if letter.isupper() else 0.64
    if unicodedata.combining(letter):
        return 0
    return 1.05 if unicodedata.east_asian_width(letter) in "WF" else 0.8
