"""How many compute threads an engine is run with: all there are, or as many as it was fastest with."""

from __future__ import annotations

from collections.abc import Mapping

THREADS = "threads"
"""The property of an artifact that says how many it was fastest with, where that is not all there are."""
_MOST_DIGITS = 4
"""Of that number: manifests are read from anywhere."""


def threads_of(properties: Mapping[str, str], most: int) -> int:
    """Compute threads where nobody says otherwise, at most ``most``.

    Args:
        properties: of an artifact, as a manifest has them.
    """
    own = properties.get(THREADS, "")
    told = own.isascii() and own.isdecimal() and len(own) <= _MOST_DIGITS
    return min(most, int(own)) if told and int(own) else most


def fewer_threads(threads: int) -> tuple[Mapping[str, str], ...]:
    """Half of ``threads``, and one: waiting for others costs time too, and small models are faster without."""
    return tuple({THREADS: str(count)} for count in sorted({threads // 2, 1} - {0, threads}, reverse=True))
