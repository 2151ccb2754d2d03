"""Samples on disk: any order, exact values, and nothing that accuracy is judged on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from edgewright.compiler.torch_stage.arrays import read_arrays, write_arrays
from edgewright.core.data import Sample, open_data
from edgewright.core.errors import UsageError
from edgewright.core.tensors import TensorSpec

SPECS = (TensorSpec("x", "float32", ("batch", 3)), TensorSpec("ids", "int64", ("batch", 2)))


def data(tmp_path: Path, count: int = 6, labels: bool = True):
    rng = np.random.default_rng(0)
    arrays = {"x": rng.standard_normal((count, 3)).astype(np.float32), "ids": rng.integers(0, 9, (count, 2))}
    if labels:
        arrays["labels"] = np.arange(count)
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    return open_data(str(path), SPECS, {}), arrays


def test_a_batch_has_the_samples_asked_for_in_that_order(tmp_path: Path):
    samples, arrays = data(tmp_path)
    assert write_arrays(samples, SPECS, tmp_path / "out") == 0
    found = read_arrays(tmp_path / "out")
    feeds = found.batch([4, 0, 4])
    np.testing.assert_array_equal(feeds["x"], arrays["x"][[4, 0, 4]])
    np.testing.assert_array_equal(feeds["ids"], arrays["ids"][[4, 0, 4]])
    assert feeds["ids"].dtype == np.int64
    labels = found.labels_of([5, 1])
    assert labels is not None
    assert labels.tolist() == [5, 1]
    assert len(found) == 6


def test_without_labels_there_are_none(tmp_path: Path):
    samples, _ = data(tmp_path, labels=False)
    write_arrays(samples, SPECS, tmp_path / "out")
    assert read_arrays(tmp_path / "out").labels_of([0]) is None


def test_samples_that_judge_are_left_out(tmp_path: Path):
    samples, arrays = data(tmp_path)
    prints = samples.fingerprints
    assert prints is not None
    assert write_arrays(samples, SPECS, tmp_path / "out", frozenset({prints[1], prints[3]})) == 2
    np.testing.assert_array_equal(read_arrays(tmp_path / "out").batch([0, 1, 2, 3])["x"], arrays["x"][[0, 2, 4, 5]])
    with pytest.raises(UsageError, match="judged"):
        write_arrays(samples, SPECS, tmp_path / "none", frozenset(prints))


@dataclass
class Ragged:
    """Two sentences of different lengths."""

    labelled: bool = False
    name: str = "ragged"
    digest: str = ""

    def __len__(self) -> int:
        return 2

    def read(self, index: int) -> Sample:
        return Sample({"x": np.zeros((1, 3 + index), np.float32), "ids": np.zeros((1, 2), np.int64)})


def test_samples_of_several_shapes_are_refused_with_the_shapes(tmp_path: Path):
    with pytest.raises(UsageError, match=r"'x' is \(1, 4\) in sample 1, \(3,\) in the first"):
        write_arrays(Ragged(), SPECS, tmp_path / "out")


@dataclass
class Fixed:
    """Feeds of a model with a fixed batch of four."""

    labelled: bool = False
    name: str = "fixed"
    digest: str = ""

    def __len__(self) -> int:
        return 3

    def read(self, index: int) -> Sample:
        return Sample({"x": np.full((4, 3), index, np.float32), "ids": np.full((4, 2), index)})


def test_whole_batches_of_a_fixed_size_are_joined(tmp_path: Path):
    write_arrays(Fixed(), SPECS, tmp_path / "out")
    found = read_arrays(tmp_path / "out")
    assert found.rows == 4
    assert found.batch([2, 0])["x"].shape == (8, 3)
    assert found.batch([2, 0])["x"][:, 0].tolist() == [2.0] * 4 + [0.0] * 4
