from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.metrics.cosine import Cosine
from edgewright.core.errors import BadInputError, UsageError


def value(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    metric = Cosine()
    metric.update(ours, theirs)
    return metric.compute()


def test_by_hand_over_two_outputs() -> None:
    ours = {"a": np.array([[1.0, 0.0]]), "b": np.array([[3.0, 4.0]]), "n": np.array([1, 2])}
    theirs = {"a": np.array([[1.0, 1.0]]), "b": np.array([[3.0, 4.0]]), "n": np.array([7, 7])}
    assert value(ours, theirs) == pytest.approx((np.sqrt(0.5) + 1) / 2, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_neither_overflows_nor_vanishes(scale: float) -> None:
    array = np.array([1.0, 2.0, -3.0], np.float32) * np.float32(scale)
    assert value({"y": array}, {"y": array}) == pytest.approx(1.0, abs=1e-6)


def test_infinities_that_are_the_same_do_not_count() -> None:
    theirs = np.array([1.0, 2.0, -np.inf])
    assert value({"y": theirs.copy()}, {"y": theirs}) == pytest.approx(1.0, abs=1e-12)
    assert value({"y": np.array([1.0, 2.0, 3.0])}, {"y": theirs}) == 0.0


def test_zeros() -> None:
    zeros = np.zeros((2, 4), np.float32)
    assert value({"y": zeros}, {"y": zeros}) == 1.0
    assert value({"y": zeros}, {"y": zeros + 1}) == 0.0


def test_single_numbers_are_compared_by_size_not_by_sign() -> None:
    metric = Cosine()
    for ours, theirs in ((3.0, 3.0), (4.0, 3.0), (-9.0, 3.0)):
        metric.update({"p": np.array([[ours]])}, {"p": np.array([[theirs]])})
    # The original's rms is 3.
    np.testing.assert_allclose(metric.per_sample(), [1, 2 / 3, 0], atol=1e-12)


def test_another_number_of_boxes_resembles_nothing() -> None:
    boxes, scores = np.ones((3, 4)), np.ones((1, 5))
    assert value({"boxes": boxes[:2], "scores": scores}, {"boxes": boxes, "scores": scores}) == 0.5
    assert value({"boxes": boxes[:0]}, {"boxes": boxes[:0]}) == 1.0


def test_mismatches_are_refused() -> None:
    with pytest.raises(BadInputError, match="shape"):
        value({"y": np.zeros((1, 2))}, {"y": np.zeros(2)})
    with pytest.raises(BadInputError, match="missing"):
        value({"z": np.zeros(2)}, {"y": np.zeros(2)})
    with pytest.raises(UsageError, match="floating"):
        value({"y": np.zeros(2, np.int64)}, {"y": np.zeros(2, np.int64)})
