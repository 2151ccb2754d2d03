"""Flips and classes, counted by hand on a few samples."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.flips import compare_classes
from edgewright.benchmarks.trace import ClassDelta, Flips
from edgewright.core.data.dataset import DataSet, Sample, Subset
from edgewright.core.errors import BadInputError, EngineError
from edgewright.core.tensors import Outputs


class Listed(DataSet):
    def __init__(self, labels: list[object]) -> None:
        self.name, self.labels, self.labelled = "listed", labels, labels[0] is not None

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, index: int) -> Sample:
        label = self.labels[index]
        return Sample({"x": np.zeros(1)}, None if label is None else np.asarray(label))

    @property
    def digest(self) -> str:
        return "0" * 64


def chosen(*classes: int) -> list[Outputs]:
    """Answers that choose these of four classes."""
    return [{"y": np.eye(4, dtype=np.float32)[[index]]} for index in classes]


def test_each_kind_of_flip_is_counted_and_the_lost_ones_are_named() -> None:
    data = Listed([0, 0, 1, 1, 2, 2])
    original, compiled = chosen(0, 0, 1, 0, 2, 3), chosen(0, 1, 0, 1, 2, 1)
    classes, flips = compare_classes(data, original, compiled)
    assert flips == Flips(n=6, lost=2, gained=1, changed=1, lost_samples=(1, 2))
    assert classes == (ClassDelta("0", 2, 1.0, 0.5), ClassDelta("1", 2, 0.5, 0.5), ClassDelta("2", 2, 0.5, 0.5))


def test_places_are_those_of_the_data_as_it_was_given() -> None:
    part = Subset(Subset(Listed([0, 1, 2, 3]), (3, 1, 0), "half"), (2, 0), "quarter")  # the samples 0 and 3
    _, flips = compare_classes(part, chosen(0, 3), chosen(0, 1))
    assert flips.lost_samples == (3,)


def test_without_labels_only_other_answers_count() -> None:
    classes, flips = compare_classes(Listed([None, None, None]), chosen(0, 1, 2), chosen(0, 2, 2))
    assert classes == ()
    assert flips == Flips(n=3, lost=0, gained=0, changed=1, labelled=False)


def test_a_sample_of_several_rows_is_as_many_decisions() -> None:
    both = [{"y": np.eye(4, dtype=np.float32)[[0, 1]]}]
    other = [{"y": np.eye(4, dtype=np.float32)[[0, 2]]}]
    classes, flips = compare_classes(Listed([[0, 1]]), both, other)
    assert (flips.n, flips.lost, flips.lost_samples) == (2, 1, (0,))
    assert [one.value for one in classes] == [1.0, 0.0]


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(EngineError, match="1 of 2 samples"):
        compare_classes(Listed([0, 1]), chosen(0, 1), chosen(0))
    with pytest.raises(EngineError, match="chooses"):
        compare_classes(Listed([0]), chosen(0), [{"y": np.ones((2, 4), np.float32)}])
    with pytest.raises(BadInputError, match="out of range"):
        compare_classes(Listed([7]), chosen(0), chosen(0))
