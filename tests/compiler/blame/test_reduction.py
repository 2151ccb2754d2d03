"""A planted fault is found wherever it is, and nothing is kept that it does not need."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.blame.reduction import Reduction


@given(size=st.integers(1, 200), data=st.data())
def test_one_fault_is_found_at_any_place(size: int, data: st.DataObject) -> None:
    fault = data.draw(st.integers(0, size - 1))
    search = Reduction(lambda part: fault in part, most=1000)
    assert search.smallest(range(size)) == (fault,)
    assert search.judged <= 2 * size.bit_length() + 4, "it bisects"


@given(size=st.integers(1, 60), data=st.data())
def test_faults_that_need_each_other_are_all_kept_and_nothing_else(size: int, data: st.DataObject) -> None:
    faults = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=5))
    search = Reduction(lambda part: faults <= set(part), most=10_000)
    assert search.smallest(range(size)) == tuple(sorted(faults))
    assert not search.exhausted


@given(verdicts=st.randoms(use_true_random=False), size=st.integers(1, 30))
def test_whatever_the_judge_says_the_result_fails_and_is_one_minimal(verdicts: object, size: int) -> None:
    """No order among parts is relied on, only the whole fails."""
    known: dict[tuple[int, ...], bool] = {tuple(range(size)): True}

    def fails(part: tuple[int, ...]) -> bool:
        return known.setdefault(part, verdicts.random() < 0.4)  # type: ignore[attr-defined]

    found = Reduction(fails, most=100_000).smallest(range(size))
    assert found is not None
    assert known[found]
    for left_out in found if len(found) > 1 else ():
        assert not known[tuple(one for one in found if one != left_out)]


def test_a_whole_that_does_not_fail_is_no_failure() -> None:
    search = Reduction(lambda _part: False, most=100)
    assert search.smallest(range(8)) is None
    assert search.judged == 1


def test_each_part_is_judged_once_and_never_more_than_allowed() -> None:
    seen: list[tuple[int, ...]] = []

    def fails(part: tuple[int, ...]) -> bool:
        seen.append(part)
        return {3, 40, 77} <= set(part)

    search = Reduction(fails, most=25)
    found = search.smallest(range(100))
    assert found is not None
    assert {3, 40, 77} <= set(found), "the smallest that was seen to fail"
    assert len(seen) == len(set(seen)) == 25
    assert search.exhausted
