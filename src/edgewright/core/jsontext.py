"""JSON that is the same bytes for the same value: sorted keys, no NaN, UTF-8, one trailing newline."""

from __future__ import annotations

import hashlib
import json


def canonical(value: object) -> bytes:
    """The canonical form, whose SHA-256 is the value's digest.

    Raises:
        ValueError: for NaN or infinity, which JSON does not have.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.encode() + b"\n"


def pretty(value: object) -> bytes:
    """The form written to files for people: two spaces of indent, otherwise canonical."""
    return json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=True).encode() + b"\n"


def digest(value: object) -> str:
    """SHA-256 in hex of the canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()
