"""What is otherwise between two sets of named parts, in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_LONGEST = 60
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ABSENT = object()


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> tuple[float, list[str]]:
    """The share of the parts that are alike, and a line for each that is not.

    >>> differences({"seed": 0, "data": {"a.npz": "x"}}, {"seed": 1, "data": {"a.npz": "x"}})
    (0.5, ['seed: 1, was 0'])
    """
    rows = list(_compared("", before, now))
    lines = [line for line in rows if line]
    return (1.0 if not rows else 1 - len(lines) / len(rows)), lines


def _compared(name: str, old: object, new: object) -> Iterator[str]:
    """A line for each part, innermost ones where both sides are divided alike; empty for one that is the same."""
    if isinstance(old, Mapping) and isinstance(new, Mapping) and (old or new):
        for key in dict.fromkeys([*new, *old]):
            inner = f"{name}: {key}" if name else str(key)
            yield from _compared(inner, old.get(key, _ABSENT), new.get(key, _ABSENT))
    elif _plain(old) == _plain(new):
        yield ""
    elif new is _ABSENT:
        yield f"{name}: is not there, was {_shown(old)}"
    else:
        yield f"{name}: {_shown(new)}, was {'not there' if old is _ABSENT else _shown(old)}"


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _shown(value: object) -> str:
    """Short, and digests cut to what tells them apart."""
    if value is None:
        return "none"
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return str(value["name"])
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value[:12]
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
