"""What is otherwise between two sets of named parts, in words."""

from __future__ import annotations

import re
from collections.abc import Mapping

_LONGEST = 60
_DIGEST = re.compile(r"[0-9a-f]{64}")
_ABSENT = object()


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> tuple[float, list[str]]:
    """The share of the parts that are alike, and a line for each that is not.

    >>> differences({"seed": 0, "data": {"a.npz": "x"}}, {"seed": 1, "data": {"a.npz": "x"}})
    (0.5, ['seed: 1, was 0'])
    """
    old, new = dict(_leaves("", before)), dict(_leaves("", now))
    names = list(dict.fromkeys([*new, *old]))
    lines = [_line(name, old, new) for name in names if old.get(name, _ABSENT) != new.get(name, _ABSENT)]
    return (1.0 if not names else 1 - len(lines) / len(names)), lines


def _leaves(name: str, value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(f"{name}: {key}" if name else str(key), item)]
    return [(name, list(value) if isinstance(value, tuple) else value)]


def _line(name: str, old: Mapping[str, object], new: Mapping[str, object]) -> str:
    if name not in old:
        return f"{name}: {_shown(new[name])}, was not there"
    if name not in new:
        return f"{name}: is not there, was {_shown(old[name])}"
    return f"{name}: {_shown(new[name])}, was {_shown(old[name])}"


def _shown(value: object) -> str:
    """Short, and digests cut to what tells them apart."""
    if value is None:
        return "none"
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return value[:12]
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
