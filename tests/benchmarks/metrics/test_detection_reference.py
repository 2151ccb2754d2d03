"""COCO's average precision beside one written from its description (https://cocodataset.org/#detection-eval)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edgewright.benchmarks.metrics import registry
from edgewright.core.errors import BadInputError, UsageError

Array = np.ndarray
Images = list[tuple[Array, Array]]
COCO = np.linspace(0.5, 0.95, 10)
# Corners on a coarse grid make equal boxes, touching boxes and IoUs that lie on a threshold common.
CORNER = st.integers(0, 8)
SIDE = st.integers(0, 5)


def iou(one: Array, other: Array) -> float:
    width, height = (min(one[2 + i], other[2 + i]) - max(one[i], other[i]) for i in (0, 1))
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(both / (areas[0] + areas[1] - both))


def hits(found: Array, true: Array, threshold: float) -> list[bool]:
    """Of the found boxes, best score first, which claim a true box: the best that is free, the later one of equals."""
    free, claimed = list(range(len(true))), []
    for box in found:
        best, chosen = threshold, None
        for index in free:
            if iou(box, true[index]) >= best:
                best, chosen = iou(box, true[index]), index
        claimed.append(chosen is not None)
        if chosen is not None:
            free.remove(chosen)
    return claimed


def average_precision(images: Images, thresholds: Array) -> float:
    classes = sorted({int(one) for _, true in images for one in true[:, 4]})
    values = []
    for threshold in thresholds:
        for label in classes:
            scores: list[float] = []
            claimed: list[bool] = []
            total = 0
            for found, true in images:
                mine = found[found[:, 5] == label]
                mine = mine[np.argsort(-mine[:, 4], kind="stable")][:100]
                theirs = true[true[:, 4] == label]
                scores += mine[:, 4].tolist()
                claimed += hits(mine, theirs, threshold)
                total += len(theirs)
            right = np.array(claimed, bool)[np.argsort(-np.array(scores), kind="stable")]
            recall, precision = np.cumsum(right) / total, np.cumsum(right) / np.arange(1, len(right) + 1)
            best = [precision[recall >= point].max(initial=0) for point in np.linspace(0, 1, 101)]
            values.append(np.mean(best))
    return float(np.mean(values))


@st.composite
def scenes(draw: st.DrawFn) -> Images:
    images = []
    for _ in range(draw(st.integers(1, 4))):
        found, true = [], []
        for _ in range(draw(st.integers(0, 6))):
            x, y, w, h, label = draw(st.tuples(CORNER, CORNER, SIDE, SIDE, st.integers(0, 2)))
            found.append([x, y, x + w, y + h, draw(st.sampled_from([0.25, 0.5, 0.75, 1.0])), label])
        for _ in range(draw(st.integers(0, 4))):
            x, y, w, h, label = draw(st.tuples(CORNER, CORNER, SIDE, SIDE, st.integers(0, 3)))
            true.append([x, y, x + w, y + h, label])
        images.append((np.array(found, np.float64).reshape(-1, 6), np.array(true, np.float64).reshape(-1, 5)))
    assume(any(len(true) for _, true in images))
    return images


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(scenes(), st.sampled_from(["one by one", "batch", "named batch"]), st.sampled_from([1.0, 1e6]))
def test_map_is_cocos(images: Images, form: str, scale: float) -> None:
    images = [(found * [*[scale] * 4, 1, 1], true * [*[scale] * 4, 1]) for found, true in images]
    for name, thresholds in (("map", COCO), ("map50", np.array([0.5]))):
        metric = registry().find(name)()
        if form == "one by one":
            for found, true in images:
                metric.update({"y": found}, true)
        else:
            boxes, labels = padded([found for found, _ in images], 6), padded([true for _, true in images], 5)
            named = {"boxes": boxes[..., :4], "scores": boxes[..., 4], "labels": boxes[..., 5]}
            metric.update({"y": boxes} if form == "batch" else named, labels)
        # 101 recall points: cumulative sums divide in another order.
        assert metric.compute() == pytest.approx(average_precision(images, thresholds), abs=1e-9)


def padded(tables: list[Array], columns: int) -> Array:
    """One array of all, filled up with rows of class -1."""
    whole = np.full((len(tables), max(1, *(len(one) for one in tables), 1), columns), -1.0)
    for row, one in zip(whole, tables, strict=True):
        row[: len(one)] = one
    return whole


@pytest.mark.parametrize("tenths", range(10))
def test_a_box_whose_iou_is_a_threshold_counts_there(tenths: int) -> None:
    """Width 10 of 20 has an IoU of .50, 11 of .55, and so on: as many thresholds pass as COCO's numbers say."""
    metric = registry().find("map")()
    width = 10 + tenths
    metric.update({"y": np.array([[0, 0, width, 10, 1, 0]], np.float64)}, np.array([[0, 0, 20, 10, 0]]))
    assert metric.compute() == pytest.approx((width / 20 >= COCO).sum() / 10)


def test_the_hundredth_box_of_an_image_counts_and_the_next_does_not() -> None:
    for extra, expected in ((99, 1 / 100), (100, 0)):
        metric = registry().find("map50")()
        false = [[50, 50, 60, 60, 0.9, 0]] * extra
        metric.update({"y": np.array([*false, [0, 0, 10, 10, 0.1, 0]])}, np.array([[0, 0, 10, 10, 0]]))
        assert metric.compute() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ([[0, 0, np.nan, 10, 0]], "not finite"),
        ([[0, 0, 10, 10, np.nan]], "not finite"),
        ([[0, 0, 10, 10, 1.5]], "no whole number"),
        ([[[0, 0, 10, 10, 1]]] * 2, r"boxes of 1 image\(s\), the label of 2"),
    ],
)
def test_true_boxes_that_are_none_are_refused(label: list[object], words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        registry().find("map")().update({"y": np.zeros((1, 6))}, np.array(label))


def test_named_outputs_that_do_not_belong_together_are_refused() -> None:
    outputs = {"boxes": np.zeros((2, 3, 4)), "scores": np.zeros((2, 3)), "labels": np.zeros((2, 2))}
    with pytest.raises(UsageError, match=r"labels \(2, 2\)"):
        registry().find("map")().update(outputs, np.zeros((2, 1, 5)))
