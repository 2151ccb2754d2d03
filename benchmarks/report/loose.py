"""Reads JSON of any age: a field that is absent, of another type or not finite reads as nothing, never as a guess."""

from __future__ import annotations

import math
from collections.abc import Mapping


class Loose:
    """One JSON object, or whatever stands where one should.

    >>> record = Loose({"summary": {"mean": 3, "cv": "high"}})
    >>> record.at("summary").number("mean"), record.at("summary").number("cv"), record.at("energy").text("counter")
    (3.0, None, '')
    """

    def __init__(self, data: object) -> None:
        self._data: Mapping[str, object] = data if isinstance(data, Mapping) else {}

    def __bool__(self) -> bool:
        return bool(self._data)

    def at(self, key: str) -> Loose:
        """The object under ``key``; an empty one where there is none."""
        return Loose(self._data.get(key))

    def items(self, key: str) -> list[Loose]:
        """The objects of the list under ``key``."""
        return [Loose(one) for one in self._list(key) if isinstance(one, Mapping)]

    def text(self, key: str) -> str:
        """A text, or an empty one."""
        value = self._data.get(key)
        return value if isinstance(value, str) else ""

    def texts(self, key: str) -> tuple[str, ...]:
        """The texts of a list."""
        return tuple(one for one in self._list(key) if isinstance(one, str))

    def number(self, key: str) -> float | None:
        """A finite number."""
        return _finite(self._data.get(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        """The finite numbers of a list."""
        return tuple(value for one in self._list(key) if (value := _finite(one)) is not None)

    def whole(self, key: str) -> int | None:
        """A whole number."""
        value = _finite(self._data.get(key))
        return int(value) if value is not None and value == int(value) else None

    def flag(self, key: str) -> bool | None:
        """True or false."""
        value = self._data.get(key)
        return value if isinstance(value, bool) else None

    def interval(self, key: str) -> tuple[float, float] | None:
        """A pair of finite numbers, the smaller first."""
        found = self.numbers(key)
        return (found[0], found[1]) if len(found) == 2 and found[0] <= found[1] else None

    def mapping(self, key: str) -> Mapping[str, Loose]:
        """The objects of an object, by name."""
        value = self._data.get(key)
        return {str(name): Loose(one) for name, one in value.items()} if isinstance(value, Mapping) else {}

    def named_texts(self, key: str) -> Mapping[str, str]:
        """The texts of an object, by name, sorted."""
        value = self._data.get(key)
        found = value if isinstance(value, Mapping) else {}
        return {str(name): one for name, one in sorted(found.items()) if isinstance(one, str)}

    def _list(self, key: str) -> list[object]:
        value = self._data.get(key)
        return list(value) if isinstance(value, list | tuple) else []


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
