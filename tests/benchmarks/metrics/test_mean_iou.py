from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.metrics.mean_iou import MeanIou
from edgewright.core.errors import BadInputError

LABEL = np.array([[0, 0], [1, 255]])
FOUND = np.array([[0, 1], [1, 2]])
# Class 0: 1 of 2; class 1: 1 of 2; class 2 occurs only under the void pixel.
VALUE = 0.5


@pytest.mark.parametrize("layout", ["scores first", "scores last", "classes"])
def test_by_hand_in_each_layout(layout: str) -> None:
    last = np.eye(3, dtype=np.float32)[FOUND][None]
    output = {"scores first": last.transpose(0, 3, 1, 2), "scores last": last, "classes": FOUND[None]}[layout]
    metric = MeanIou()
    metric.update({"y": output}, LABEL)
    assert metric.compute() == VALUE


def test_it_is_of_the_whole_set_not_a_mean_of_images() -> None:
    metric = MeanIou()
    metric.update({"y": np.array([[[0, 0]]])}, np.array([[0, 0]]))
    metric.update({"y": np.array([[[0, 1]]])}, np.array([[1, 1]]))
    # Class 0: 2 / 3, class 1: 1 / 2.
    assert metric.compute() == pytest.approx(7 / 12, abs=1e-12)


def test_misfits_are_refused() -> None:
    with pytest.raises(BadInputError, match="label 7 is out of range: the model tells 3 classes"):
        MeanIou().update({"y": np.zeros((1, 3, 2, 2), np.float32)}, np.full((2, 2), 7))
    with pytest.raises(BadInputError, match=r"\(1, 3, 4, 4\), its label \(1, 2, 2\)"):
        MeanIou().update({"y": np.zeros((1, 3, 4, 4), np.float32)}, np.zeros((2, 2), np.int64))
