from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgewright.core.errors import LimitMissedError
from edgewright.core.tensors import TensorSpec
from edgewright.driver.sets import MOST_TO_SELECT, DataSets, open_sets

SPECS = (TensorSpec("x", "float32", ("N", 2)),)


def npz(folder: Path, name: str, count: int, start: int = 0) -> str:
    path = folder / name
    values = np.arange(start, start + count, dtype=np.float32)
    np.savez(path, x=np.stack([values, values], axis=1))
    return str(path)


def values(sets: DataSets) -> list[set[float]]:
    return [{float(feeds["x"][0, 0]) for feeds in part} for part in (sets.calibrate, sets.select, sets.prove)]


def test_one_set_alone_is_split_three_ways_disjointly_and_it_is_said(tmp_path: Path) -> None:
    sets = open_sets(npz(tmp_path, "all.npz", 100), None, SPECS, {}, seed=0)
    assert sets is not None
    calibrate, select, prove = values(sets)
    assert not calibrate & select
    assert not calibrate & prove
    assert not select & prove
    assert len(calibrate | select | prove) == 100
    assert any("serves alone" in note for note in sets.notes)


def test_evaluation_data_selects_and_proves_and_calibration_data_only_calibrates(tmp_path: Path) -> None:
    sets = open_sets(npz(tmp_path, "a.npz", 40), npz(tmp_path, "b.npz", 60, start=1000), SPECS, {}, seed=0)
    assert sets is not None
    calibrate, select, prove = values(sets)
    assert max(calibrate) < 1000
    assert min(select | prove) >= 1000
    assert not select & prove
    assert len(prove) > len(select)


def test_the_same_file_twice_is_no_second_set(tmp_path: Path) -> None:
    text = npz(tmp_path, "a.npz", 60)
    sets = open_sets(text, text, SPECS, {}, seed=0)
    assert sets is not None
    calibrate, select, prove = values(sets)
    assert not calibrate & prove
    assert not calibrate & select
    assert any("same samples" in note for note in sets.notes)


def test_a_large_evaluation_set_proves_more_than_it_selects(tmp_path: Path) -> None:
    sets = open_sets(npz(tmp_path, "a.npz", 40), npz(tmp_path, "b.npz", 6000, start=1000), SPECS, {}, seed=0)
    assert sets is not None
    assert abs(len(sets.select) - MOST_TO_SELECT) <= 1
    assert len(sets.select) + len(sets.prove) == 6000


def test_too_little_data_is_a_message(tmp_path: Path) -> None:
    with pytest.raises(LimitMissedError, match="has 4 samples"):
        open_sets(npz(tmp_path, "a.npz", 4), None, SPECS, {}, seed=0)


def test_the_seed_decides_the_split(tmp_path: Path) -> None:
    text = npz(tmp_path, "a.npz", 100)
    first, again, other = (open_sets(text, None, SPECS, {}, seed=seed) for seed in (1, 1, 2))
    assert first is not None
    assert again is not None
    assert other is not None
    assert values(first) == values(again)
    assert values(first) != values(other)
