from __future__ import annotations

import math
from pathlib import Path

import pytest

from edgewright.core.errors import UsageError
from edgewright.core.toml import Table, read_toml


def test_what_is_right_reads_without_a_word() -> None:
    table = Table(
        {"t": "x", "f": True, "n": 3, "r": 2, "w": ["a"], "p": [1, 2], "s": {"k": "v"}, "l": [{"k": 1}], "m": 0.5},
        "",
        [],
    )
    assert (table.text("t"), table.flag("f"), table.count("n"), table.number("r")) == ("x", True, 3, 2.0)
    assert (table.words("w"), table.pair("p"), dict(table.texts("s"))) == (("a",), (1, 2), {"k": "v"})
    assert [inner.count("k") for inner in table.tables("l")] == [1]
    assert table.numbers("m") == (0.5,)
    assert table.count("absent", default=7) == 7
    assert table.optional_count("absent") is None
    assert table.optional_choice("absent", ("a", "b")) is None
    table.close()
    assert table.problems == []


@pytest.mark.parametrize(
    ("method", "value", "says"),
    [
        ("text", 3, "at.k: 3 is not a text"),
        ("flag", 1, "at.k: 1 is not true or false"),
        ("count", True, "at.k: True is not a whole number"),
        ("count", -1, "at.k: -1 is below 0"),
        ("count", 1.0, "at.k: 1.0 is not a whole number"),
        ("number", math.nan, "at.k: nan is not a finite number"),
        ("number", math.inf, "at.k: inf is not a finite number"),
        ("number", True, "at.k: True is not a number"),
        ("words", "a", "at.k: 'a' is not a list of texts"),
        ("words", ["a", 1], "at.k[1]: 1 is not a text"),
        ("numbers", [1, "a"], "at.k[1]: 'a' is not a finite number"),
        ("pair", [1], "at.k: [1] is not a list of two whole numbers"),
        ("pair", [2, 1], "at.k: [2, 1] must have 0 <= first <= second"),
        ("table", 1, "at.k: 1 is not a table"),
        ("tables", [1], "at.k: [1] is not a list of tables"),
        ("texts", {"a": 1}, "at.k.a: 1 is not a text"),
        ("counts", {"a": "x"}, "at.k.a: 'x' is not a whole number"),
    ],
)
def test_each_mistake_has_its_path(method: str, value: object, says: str) -> None:
    table = Table({"k": value}, "at", [])
    getattr(table, method)("k")
    assert table.problems == [says]


@pytest.mark.parametrize("method", ["text", "flag", "count", "number", "words", "numbers", "pair"])
def test_what_is_required_and_absent_is_said_once(method: str) -> None:
    table = Table({}, "at", [])
    getattr(table, method)("k")
    assert table.problems == ["at.k: is missing"]


def test_unknown_keys_offer_the_nearest() -> None:
    table = Table({"thread": 3, "zzz": 1}, "", [])
    table.count("threads", default=1)
    table.close()
    assert table.problems == ["thread: unknown key; did you mean threads?", "zzz: unknown key; there are: threads"]


def test_long_values_are_cut() -> None:
    table = Table({"k": "x" * 1000}, "", [])
    table.count("k")
    assert len(table.problems[0]) < 120


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"a = 1\nb ? 2", "is not TOML: .*line 2"), (b"\xff\xfe", "is not UTF-8"), (None, "is not there")],
)
def test_a_file_that_is_no_toml(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "recipe.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=says):
        read_toml(path, "recipe")
