"""How many threads an engine gets where nobody says."""

from __future__ import annotations

import pytest

from edgewright.backends import threads_of
from edgewright.backends._threads import fewer_threads


@pytest.mark.parametrize(
    ("told", "most", "used"),
    [
        ("", 4, 4),
        ("1", 4, 1),
        ("3", 2, 2),
        ("0", 2, 2),
        ("-1", 2, 2),
        ("two", 2, 2),
        ("9" * 9999, 2, 2),
        ("\u0663", 2, 2),
    ],
)
def test_an_artifact_says_how_many_at_most(told: str, most: int, used: int) -> None:
    assert threads_of({"threads": told} if told else {}, most) == used


@pytest.mark.parametrize(("there", "tried"), [(1, []), (2, ["1"]), (3, ["1"]), (4, ["2", "1"]), (16, ["8", "1"])])
def test_half_of_them_and_one_are_tried(there: int, tried: list[str]) -> None:
    assert [one["threads"] for one in fewer_threads(there)] == tried
