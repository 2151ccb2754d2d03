"""What every registered metric must keep to; a new file in ``benchmarks/metrics`` is picked up by name."""

from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.metrics import Metric, registry
from edgewright.core.errors import BadInputError

BOX = np.array([[[0, 0, 10, 10, 0.9, 1]]], np.float32)
PIXELS = np.zeros((1, 3, 4, 4), np.float32)
PIXELS[:, 1] = 1
# Outputs, a right label, a wrong one.
SEGMENTATION = ({"y": PIXELS}, np.ones((4, 4), np.int64), np.zeros((4, 4), np.int64))
DETECTION = ({"y": BOX}, np.array([[0, 0, 10, 10, 1]]), np.array([[50, 50, 60, 60, 1]]))
REGRESSION = ({"y": np.array([[0.5]], np.float32)}, np.array(0.5), np.array(0.9))
SCORES = np.array([[0.1, 0.9, 0, 0, 0, 0, 0]], np.float32)
CLASSES = ({"y": SCORES}, np.array(1), np.array(6))
FIDELITY = ({"y": SCORES}, {"y": SCORES}, {"y": -SCORES})
EXAMPLES = {
    "mean-iou": SEGMENTATION,
    "map": DETECTION,
    "map50": DETECTION,
    "mse": REGRESSION,
    "mae": REGRESSION,
    "psnr": REGRESSION,
    "agreement": FIDELITY,
    "cosine": FIDELITY,
}
RANKING = ("auc", "spearman")
"""These say nothing of one sample alone; their own files test them."""


@pytest.fixture(params=registry().names())
def metric(request: pytest.FixtureRequest) -> Metric:
    return registry().find(request.param)()


def test_name_is_the_registered_one(metric: Metric) -> None:
    assert metric.name in registry().names()
    assert type(registry().find(metric.name)()) is type(metric)


def test_nothing_seen_is_refused(metric: Metric) -> None:
    with pytest.raises(BadInputError):
        metric.compute()


def test_right_beats_wrong_and_the_value_is_the_mean_of_the_scores(metric: Metric) -> None:
    if metric.name in RANKING:
        pytest.skip("needs several samples")
    outputs, right, wrong = EXAMPLES.get(metric.name, CLASSES)
    values = []
    for expected in (right, wrong):
        fresh = type(metric)()
        for _ in range(3):
            fresh.update(outputs, expected)
        values.append(fresh.compute())
        scores = fresh.per_sample()
        if scores is not None:
            assert scores.shape == (3,)
            # Exact but for the order of additions.
            assert np.mean(scores) == pytest.approx(values[-1], abs=1e-12)
    assert np.isfinite(values).all()
    assert (values[0] > values[1]) if metric.higher_is_better else (values[0] < values[1])


def test_an_answer_of_nan_never_looks_good(metric: Metric) -> None:
    if metric.name in RANKING:
        pytest.skip("needs several samples")
    outputs, right, _ = EXAMPLES.get(metric.name, CLASSES)
    good, broken = type(metric)(), type(metric)()
    good.update(outputs, right)
    broken.update({name: np.full_like(array, np.nan) for name, array in outputs.items()}, right)
    assert np.isfinite(broken.compute())
    sign = 1 if metric.higher_is_better else -1
    assert sign * broken.compute() < sign * good.compute()
