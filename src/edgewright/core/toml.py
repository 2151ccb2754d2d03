"""Reads a TOML document strictly: every mistake is remembered with its path and the nearest name that is known."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from edgewright.core.errors import UsageError

T = TypeVar("T")


def read_toml(path: Path, what: str) -> Mapping[str, object]:
    """The document in ``path``.

    Args:
        path: a file the user named.
        what: the word for it in messages, such as ``recipe``.

    Raises:
        UsageError: when it is missing, unreadable, or not TOML; the message has the parser's line and column.
    """
    if not path.is_file():
        raise UsageError(f"{what} file {path} is not there", "Give the path of a TOML file.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {what} file {path}: {error.strerror}", "Check its permissions.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{what} file {path} is not UTF-8 text", "Save it as UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{what} file {path} is not TOML: {error}", "See https://toml.io for the syntax.") from error


class Table:
    """One table being read. A wrong field adds a line to ``problems`` and reads as a neutral value.

    Each field is asked for once; :meth:`close` reports the ones nobody asked for.

    >>> table = Table({"kind": "statik"}, "schemes[1]", [])
    >>> table.choice("kind", ("static", "dynamic")), table.problems
    ('static', ["schemes[1].kind: 'statik' is not one of static, dynamic"])
    """

    def __init__(self, data: Mapping[str, object], path: str, problems: list[str]) -> None:
        self._data, self._path, self.problems = data, path, problems
        self._asked: set[str] = set()

    def has(self, key: str) -> bool:
        """True when the field is written at all; a field asked for in this way is known here.

        JSON's null, which TOML does not have, is as if it were not written.
        """
        self._asked.add(key)
        return self._data.get(key) is not None

    def keys(self) -> tuple[str, ...]:
        """The names written in this table, in their order."""
        return tuple(self._data)

    def text(self, key: str, default: str | None = None) -> str:
        """A text; required unless it has a default."""
        return self._typed(key, str, "a text", default, "")

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false; required unless it has a default."""
        return self._typed(key, bool, "true or false", default, fallback=False)

    def count(self, key: str, default: int | None = None, lowest: int = 0) -> int:
        """A whole number from ``lowest`` up; required unless it has a default."""
        value = self._typed(key, int, "a whole number", default, lowest)
        if value < lowest:
            self.complain(key, f"{value} is below {lowest}")
            return lowest
        return value

    def optional_count(self, key: str, lowest: int = 0) -> int | None:
        """A whole number, or None where the field is absent."""
        return self.count(key, lowest=lowest) if self.has(key) else None

    def optional_choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        """One of a fixed set of words, or None where the field is absent."""
        return self.choice(key, choices) if self.has(key) else None

    def number(self, key: str, default: float | None = None, lowest: float = -math.inf) -> float:
        """A finite number from ``lowest`` up; required unless it has a default."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            if value is not None:
                self.complain(key, f"{_shown(value)} is not a number")
            return 0.0
        if not math.isfinite(value):
            self.complain(key, f"{value} is not a finite number")
            return 0.0
        if value < lowest:
            self.complain(key, f"{value} is below {lowest}")
        return float(value)

    def choice(self, key: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """One of a fixed set of words; required unless it has a default."""
        value = self._take(key, default)
        if value is not None and value not in choices:
            self.complain(key, _not_one_of(value, choices))
        return value if isinstance(value, str) and value in choices else choices[0]

    def words(
        self, key: str, known: Iterable[str] | None = None, default: tuple[str, ...] | None = None
    ) -> tuple[str, ...]:
        """A list of texts, each one of ``known`` where that is given; required unless it has a default."""
        value = self._take(key, default)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            self.complain(key, f"{_shown(value)} is not a list of texts")
            return ()
        allowed = None if known is None else tuple(known)
        found = []
        for index, item in enumerate(value):
            if not isinstance(item, str):
                self.complain(f"{key}[{index}]", f"{_shown(item)} is not a text")
            elif allowed is not None and item not in allowed:
                self.complain(f"{key}[{index}]", _not_one_of(item, allowed))
            else:
                found.append(item)
        return tuple(found)

    def numbers(self, key: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        """A list of finite numbers, or a single one; required unless it has a default."""
        value = self._take(key, default)
        if value is None:
            return ()
        items = value if isinstance(value, list | tuple) else (value,)
        found = []
        for index, item in enumerate(items):
            if isinstance(item, bool) or not isinstance(item, int | float) or not math.isfinite(item):
                self.complain(f"{key}[{index}]", f"{_shown(item)} is not a finite number")
            else:
                found.append(float(item))
        return tuple(found)

    def pair(self, key: str, lowest: int = 0) -> tuple[int, int]:
        """A list of two whole numbers, the smaller first; required."""
        value = self._take(key, None)
        if value is None:
            return (lowest, lowest)
        items = value if isinstance(value, list | tuple) else ()
        numbers = [item for item in items if isinstance(item, int) and not isinstance(item, bool)]
        if len(items) != 2 or len(numbers) != 2:
            self.complain(key, f"{_shown(value)} is not a list of two whole numbers")
            return (lowest, lowest)
        low, high = numbers
        if not lowest <= low <= high:
            self.complain(key, f"[{low}, {high}] must have {lowest} <= first <= second")
            return (lowest, lowest)
        return (low, high)

    def table(self, key: str, *, required: bool = False) -> Table:
        """A table with fields of its own; an absent one is empty."""
        value = self._take(key, None if required else {})
        if value is not None and not isinstance(value, Mapping):
            self.complain(key, f"{_shown(value)} is not a table")
        return Table(value if isinstance(value, Mapping) else {}, self._at(key), self.problems)

    def tables(self, key: str) -> list[Table]:
        """A list of tables (``[[key]]``); an absent one is empty."""
        value = self._take(key, ())
        if not isinstance(value, list | tuple) or not all(isinstance(item, Mapping) for item in value):
            self.complain(key, f"{_shown(value)} is not a list of tables")
            return []
        return [Table(item, f"{self._at(key)}[{index}]", self.problems) for index, item in enumerate(value)]

    def texts(self, key: str) -> Mapping[str, str]:
        """A table whose values are all texts; an absent one is empty."""
        inner = self.table(key)
        return {name: inner.text(name) for name in inner.keys()}  # noqa: SIM118 - a Table is no mapping

    def counts(self, key: str) -> Mapping[str, int]:
        """A table whose values are all whole numbers from 0 up; an absent one is empty."""
        inner = self.table(key)
        return {name: inner.count(name) for name in inner.keys()}  # noqa: SIM118 - a Table is no mapping

    def complain(self, key: str, problem: str) -> None:
        """Adds a line about ``key``, such as a rule between fields."""
        self.problems.append(f"{self._at(key)}: {problem}")

    def close(self) -> None:
        """Reports the fields nobody asked for, with the nearest name that is known here."""
        for key in self._data:
            if key not in self._asked:
                near = difflib.get_close_matches(key, sorted(self._asked), n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sorted(self._asked))}"
                self.complain(key, f"unknown key; {hint}")

    def _take(self, key: str, default: object) -> object:
        self._asked.add(key)
        value = self._data.get(key)
        if value is not None:
            return value
        if default is None:
            self.complain(key, "is missing")
        return default

    def _typed(self, key: str, kind: type[T], wanted: str, default: T | None, fallback: T) -> T:
        value = self._take(key, default)
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        if value is not None:
            self.complain(key, f"{_shown(value)} is not {wanted}")
        return fallback

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path and key else self._path or key


def _not_one_of(value: object, choices: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(value, choices, n=1) if isinstance(value, str) and len(choices) > 8 else []
    hint = f"known; did you mean {near[0]}?" if near else f"one of {', '.join(choices)}"
    return f"{_shown(value)} is not {hint}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
