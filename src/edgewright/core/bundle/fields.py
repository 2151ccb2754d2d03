"""Reads a JSON object field by field and remembers everything that is wrong with it, each with its path."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}")


class Fields:
    """One JSON object being read. A wrong field adds a line to ``problems`` and reads as a neutral value.

    >>> fields = Fields({"name": 3}, "model", [])
    >>> fields.text("name"), fields.problems
    ('', ['model.name: must be a text, not 3'])
    """

    def __init__(self, data: object, path: str, problems: list[str]) -> None:
        self.path, self.problems = path, problems
        self._data: Mapping[str, object] = {}
        if isinstance(data, Mapping):
            self._data = data
        else:
            self._wrong("", "an object", data)
            self.problems = []  # its fields are missing too, which is no news

    def text(self, key: str) -> str:
        """A required text."""
        value = self._data.get(key)
        if isinstance(value, str):
            return value
        self._wrong(key, "a text", value)
        return ""

    def optional_text(self, key: str) -> str | None:
        """A text, or None where the field is null or absent."""
        return None if self._data.get(key) is None else self.text(key)

    def sha256(self, key: str) -> str:
        """64 lower-case hexadecimal digits."""
        value = self.text(key)
        if isinstance(self._data.get(key), str) and not _SHA256.fullmatch(value):
            self._wrong(key, "a SHA-256 in hex", value)
        return value

    def optional_sha256(self, key: str) -> str | None:
        """A SHA-256, or None where the field is null or absent."""
        return None if self._data.get(key) is None else self.sha256(key)

    def number(self, key: str) -> float:
        """A finite number."""
        value = self._data.get(key)
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                number = float(value)
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        self._wrong(key, "a finite number", value)
        return 0.0

    def optional_number(self, key: str) -> float | None:
        """A finite number, or None where the field is null or absent."""
        return None if self._data.get(key) is None else self.number(key)

    def count(self, key: str) -> int:
        """A whole number from 0 up."""
        value = self._data.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return value
        self._wrong(key, "a whole number >= 0", value)
        return 0

    def optional_count(self, key: str) -> int | None:
        """A count, or None where the field is null or absent."""
        return None if self._data.get(key) is None else self.count(key)

    def optional_flag(self, key: str) -> bool | None:
        """True, false, or None where the field is null or absent."""
        value = self._data.get(key)
        if value is None or isinstance(value, bool):
            return value
        self._wrong(key, "true, false or null", value)
        return None

    def one_of(self, key: str, choices: tuple[str, ...]) -> str:
        """One of a fixed set of words."""
        value = self._data.get(key)
        if isinstance(value, str) and value in choices:
            return value
        self._wrong(key, " or ".join(choices), value)
        return choices[0]

    def mapping(self, key: str) -> Mapping[str, object]:
        """An object of any content."""
        value = self._data.get(key)
        if isinstance(value, Mapping):
            return value
        self._wrong(key, "an object", value)
        return {}

    def optional_mapping(self, key: str) -> Mapping[str, object] | None:
        """An object of any content, or None where the field is null or absent."""
        return None if self._data.get(key) is None else self.mapping(key)

    def texts(self, key: str) -> Mapping[str, str]:
        """An object whose values are texts."""
        found = self.mapping(key)
        for name, value in found.items():
            if not isinstance(value, str):
                self._wrong(f"{key}.{name}", "a text", value)
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def record(self, key: str) -> Fields:
        """An object with fields of its own."""
        return Fields(self._data.get(key), self._at(key), self.problems)

    def optional_record(self, key: str) -> Fields | None:
        """An object with fields of its own, or None where the field is null or absent."""
        return None if self._data.get(key) is None else self.record(key)

    def records(self, key: str) -> list[Fields]:
        """A list of objects with fields of their own."""
        value = self._data.get(key)
        if not isinstance(value, list | tuple):
            self._wrong(key, "a list", value)
            return []
        return [Fields(item, f"{self._at(key)}[{index}]", self.problems) for index, item in enumerate(value)]

    @property
    def raw(self) -> Mapping[str, object]:
        """The object itself."""
        return self._data

    def complain(self, key: str, problem: str) -> None:
        """Adds a line about a rule between fields."""
        self.problems.append(f"{self._at(key)}: {problem}")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path and key else self.path or key

    def _wrong(self, key: str, wanted: str, value: object) -> None:
        self.complain(key, f"is missing, must be {wanted}" if value is None else f"must be {wanted}, not {value!r:.80}")
