"""Text of others made safe for Markdown: nothing in it is structure, a link or a mention (CommonMark, GitHub's too)."""

from __future__ import annotations

import re

from edgewright.core.foreign_text import spelt_out

_PLAIN = frozenset(" %+-/=,.:;?()'\"")
"""ASCII punctuation that means nothing within a line, where there are no brackets before a parenthesis; all other
becomes a character reference."""
_PINGS = frozenset("@#")
"""What GitHub makes links of though it was a reference: an empty comment keeps it apart from what follows."""
_BARE_LINK = re.compile(r"www\.|://", re.IGNORECASE)
"""What GitHub makes a link of without any brackets."""
_OPENING = re.compile(r" +|=+|[-+](?=[ -]|$)|[0-9]{1,9}[.)](?= |$)")
"""What would begin a block of code, underline a heading, or begin a rule or a list."""


def escaped(text: str) -> str:
    r"""``text`` on one line that stays text: in a paragraph, a heading, a list, a table's cell, a comment.

    A character reference can never be structure (CommonMark 0.31, section 2.5), and a table's row is split at bare
    pipes alone.

    >>> escaped("a|b`c`<b>\n@all")
    'a&#124;b&#96;c&#96;&#60;b&#62;&#92;n&#64;<!-- -->all'
    >>> escaped("- www.example"), escaped("-0.5")
    ('&#45; www&#46;example', '-0.5')
    """
    shown = "".join(_escaped(char) for char in spelt_out(text))
    shown = _BARE_LINK.sub(lambda link: link[0].replace(".", "&#46;").replace(":", "&#58;"), shown)
    opening = _OPENING.match(shown)
    if opening is None:
        return shown
    return "".join(char if char.isdigit() else _reference(char) for char in opening[0]) + shown[opening.end() :]


def _escaped(char: str) -> str:
    if char.isascii() and not char.isalnum() and char not in _PLAIN:
        return _reference(char) + ("<!-- -->" if char in _PINGS else "")
    return char


def _reference(char: str) -> str:
    return f"&#{ord(char)};"
