from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.core.data import DataSet, Sample, Subset, split
from edgewright.core.errors import BadInputError


class Numbers(DataSet):
    """Sample ``i`` holds ``values[i]``."""

    def __init__(self, values: Sequence[int], groups: Sequence[str] | None = None) -> None:
        self.name, self.labelled, self._values, self._groups = "numbers", False, values, groups

    def __len__(self) -> int:
        return len(self._values)

    def read(self, index: int) -> Sample:
        return Sample({"x": np.array([self._values[index]])})

    @property
    def digest(self) -> str:
        return "d" * 64

    @property
    def groups(self) -> Sequence[str] | None:
        return self._groups

    @property
    def fingerprints(self) -> Sequence[bytes] | None:
        return [str(value).encode() for value in self._values]


def indices(part: DataSet) -> list[int]:
    assert isinstance(part, Subset)
    return list(part.indices)


SHARES = st.lists(st.floats(0.05, 1), min_size=1, max_size=4)


@given(values=st.lists(st.integers(0, 60), min_size=1, max_size=80), shares=SHARES, seed=st.integers(0, 9))
def test_parts_are_disjoint_complete_and_never_share_a_sample(
    values: list[int], shares: list[float], seed: int
) -> None:
    data = Numbers(values)
    if len(set(values)) < len(shares):
        with pytest.raises(BadInputError):
            split(data, shares, seed)
        return
    parts = split(data, shares, seed)
    assert sorted(index for part in parts for index in indices(part)) == list(range(len(values)))
    seen = [{values[index] for index in indices(part)} for part in parts]
    assert sum(map(len, seen)) == len(set(values))
    assert all(seen)


@given(groups=st.lists(st.sampled_from("abcdef"), min_size=12, max_size=60), seed=st.integers(0, 9))
def test_a_group_stays_on_one_side(groups: list[str], seed: int) -> None:
    data = Numbers(range(len(groups)), groups)
    if len(set(groups)) < 2:
        with pytest.raises(BadInputError, match="groups of samples"):
            split(data, (0.5, 0.5), seed)
        return
    sides = [set(part.groups or ()) for part in split(data, (0.5, 0.5), seed)]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(groups)


def test_groups_that_share_a_sample_are_one() -> None:
    data = Numbers([0, 1, 1, 2, 3, 4], ["a", "a", "b", "b", "c", "c"])
    for seed in range(5):
        parts = sorted(sorted(indices(part)) for part in split(data, (0.5, 0.5), seed))
        assert parts == [[0, 1, 2, 3], [4, 5]]


@pytest.mark.parametrize("count", [10, 99, 1000])
def test_sizes_follow_the_shares_to_one_sample(count: int) -> None:
    shares = (0.4, 0.2, 0.4)
    parts = split(Numbers(range(count)), shares, 3)
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - share * count) <= 1


def test_the_seed_decides_and_sorted_data_is_mixed() -> None:
    data = Numbers(range(200))
    first, again, other = (indices(split(data, (0.5, 0.5), seed)[0]) for seed in (1, 1, 2))
    assert first == again != other
    assert 60 < np.mean(first) < 140
    assert first != sorted(first), "whoever takes the first few of a part must not get one class"


def test_a_part_of_a_part_reads_the_right_samples() -> None:
    part = split(split(Numbers(range(50)), (1, 1), 0)[0], (1, 1), 0)[1]
    values = [int(feeds["x"][0]) for feeds in part]
    parent = split(Numbers(range(50)), (1, 1), 0)[0]
    assert set(values) <= set(indices(parent))
    assert len(values) in (12, 13)
    assert part.digest != parent.digest


def test_shares_must_be_positive() -> None:
    for shares in ((), (0.5, 0), (1, -1)):
        with pytest.raises(ValueError, match="positive"):
            split(Numbers(range(5)), shares, 0)
