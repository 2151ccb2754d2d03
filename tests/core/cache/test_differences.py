from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.cache.differences import differences

parts = st.dictionaries(
    st.sampled_from("abcd"), st.integers(0, 2) | st.dictionaries(st.sampled_from("xy"), st.integers(0, 2), max_size=2)
)


def test_what_is_new_what_is_gone_and_what_is_other() -> None:
    before = {"seed": 0, "data": {"name": "a.npz", "sha256": "a" * 64}, "plan": None, "gone": 1}
    now = {"seed": 1, "data": {"name": "a.npz", "sha256": "b" * 64}, "plan": None, "keep": ["head.*"]}
    alike, lines = differences(before, now)
    assert lines == [
        "seed: 1, was 0",
        "data: sha256: bbbbbbbbbbbb, was aaaaaaaaaaaa",
        "keep: ['head.*'], was not there",
        "gone: is not there, was 1",
    ]
    assert alike == 1 - 4 / 6


def test_a_file_that_was_given_and_one_that_is_not() -> None:
    given = {"name": "a.npz", "sha256": "a" * 64}
    assert differences({"data": given, "seed": 0}, {"data": None, "seed": 0}) == (0.5, ["data: none, was a.npz"])
    assert differences({"data": None}, {"data": given}) == (0.0, ["data: a.npz, was none"])
    assert differences({"passes": ["a"]}, {"passes": ("a",)}) == (1.0, [])


def test_long_values_are_cut() -> None:
    (line,) = differences({"isa": "x" * 200}, {"isa": "y" * 200})[1]
    assert len(line) < 140


@given(parts, parts)
def test_no_line_exactly_where_the_parts_are_the_same(one: dict[str, object], other: dict[str, object]) -> None:
    alike, lines = differences(one, other)
    assert (alike == 1.0) == (not lines) == (one == other)
