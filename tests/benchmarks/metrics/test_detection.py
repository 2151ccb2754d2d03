from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.metrics import Metric, registry
from edgewright.core.errors import BadInputError, UsageError


def made(name: str) -> Metric:
    return registry().find(name)()


def box(x: float, score: float = 1.0, label: int = 0, width: float = 10) -> list[float]:
    return [x, 0, x + width, 10, score, label]


def truth(*boxes: list[float]) -> np.ndarray:
    return np.array([[*one[:4], one[5]] for one in boxes] + [[0, 0, 0, 0, -1]])


def found(*boxes: list[float]) -> dict[str, np.ndarray]:
    return {"y": np.array(boxes, np.float32).reshape(1, -1, 6)}


def test_all_found_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    metric = made("map")
    metric.update(found(box(0, 0.9), box(50, 0.8, 1)), truth(box(0), box(50, label=1)))
    assert metric.compute() == pytest.approx(1.0)
    assert capsys.readouterr().out == ""


def test_a_false_box_ahead_halves_the_precision() -> None:
    # Ranked: wrong, right. At every recall the best precision is 1/2.
    metric = made("map50")
    metric.update(found(box(50, 0.9), box(0, 0.8)), truth(box(0)))
    assert metric.compute() == pytest.approx(0.5)


def test_half_of_the_boxes_found_is_the_101_point_area() -> None:
    # Precision 1 up to recall .5: recall points 0, .01 ... .50 are 51 of 101.
    metric = made("map50")
    metric.update(found(box(0, 0.9)), truth(box(0), box(50)))
    assert metric.compute() == pytest.approx(51 / 101)


def test_a_box_of_iou_060_counts_at_three_of_ten_thresholds() -> None:
    # Width 6 of 10 overlaps: IoU .6 passes .50, .55 and .60.
    metric = made("map")
    metric.update(found(box(0, 0.9, width=6)), truth(box(0)))
    assert metric.compute() == pytest.approx(0.3)


def test_a_true_box_is_claimed_once_and_scenes_rank_together() -> None:
    metric = made("map50")
    metric.update(found(box(0, 0.9), box(0, 0.8)), truth(box(0)))
    metric.update(found(box(0, 0.7)), truth(box(0)))
    # Ranked: hit, duplicate, hit. Precision 1 up to recall .5 (51 points), 2/3 beyond (50 points).
    assert metric.compute() == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_a_class_that_is_never_true_does_not_count_but_a_missed_one_does() -> None:
    metric = made("map50")
    metric.update(found(box(0, 0.9), box(50, 0.9, 7)), truth(box(0), box(80, label=2)))
    assert metric.compute() == pytest.approx(0.5)


def test_three_outputs_by_name() -> None:
    metric = made("map50")
    outputs = {
        "labels": np.array([[1]]),
        "scores": np.array([[0.5]]),
        "boxes": np.array([[[0, 0, 10, 10]]], np.float32),
    }
    metric.update(outputs, truth(box(0, label=1)))
    assert metric.compute() == pytest.approx(1.0)


def test_a_model_that_finds_nothing_scores_zero() -> None:
    metric = made("map")
    metric.update({"y": np.zeros((1, 5, 6), np.float32)}, truth(box(0)))
    assert metric.compute() == 0.0


def test_misfits_are_refused() -> None:
    with pytest.raises(UsageError, match="decode"):
        made("map").update({"y": np.zeros((1, 576, 15), np.float32)}, truth(box(0)))
    with pytest.raises(BadInputError, match="not \\(m, 5\\)"):
        made("map").update(found(box(0)), np.zeros((3, 4)))
    with pytest.raises(BadInputError, match="ends before"):
        made("map").update(found(box(0)), np.array([[10, 0, 0, 10, 1]]))
