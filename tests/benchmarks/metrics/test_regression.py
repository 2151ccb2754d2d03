from __future__ import annotations

import numpy as np
import pytest

from edgewright.benchmarks.metrics import Metric, registry
from edgewright.core.errors import BadInputError, UsageError


def made(name: str) -> Metric:
    return registry().find(name)()


def test_mse_and_mae_by_hand() -> None:
    for name, value in (("mse", (1 + 9) / 2), ("mae", 2.0)):
        metric = made(name)
        metric.update({"y": np.array([[1.0, 5.0]], np.float32)}, np.array([2.0, 2.0]))
        assert metric.compute() == value
        assert not metric.higher_is_better


def test_psnr_by_hand() -> None:
    # An error of 1/10 of the peak everywhere is 20 dB, whatever the scale.
    for label in (np.full((3, 3), 100, np.uint8), np.full((3, 3), 0.5, np.float32)):
        peak = 255 if label.dtype == np.uint8 else 1
        metric = made("psnr")
        metric.update({"y": (label + peak * 0.1)[None].astype(np.float32)}, label)
        assert metric.compute() == pytest.approx(20, abs=1e-3)  # float32 images


def test_psnr_refuses_a_peak_it_would_have_to_guess() -> None:
    with pytest.raises(BadInputError, match="up to 255"):
        made("psnr").update({"y": np.zeros((2, 2), np.float32)}, np.full((2, 2), 255.0))


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(BadInputError, match=r"\(1, 2\), its label \(3,\)"):
        made("mse").update({"y": np.zeros((1, 2), np.float32)}, np.zeros(3))


def test_a_nan_label_is_refused() -> None:
    with pytest.raises(BadInputError, match="NaN"):
        made("mae").update({"y": np.zeros((1, 2), np.float32)}, np.array([np.nan, 0]))


def test_spearman_sees_ranks_alone() -> None:
    metric = made("spearman")
    for score, label in ((0.1, 1), (0.2, 2), (9.0, 3)):
        metric.update({"y": np.array([[score]], np.float32)}, np.array(label))
    assert metric.compute() == pytest.approx(1.0)


def test_spearman_of_a_constant_model_is_zero() -> None:
    metric = made("spearman")
    for label in (1, 2, 3):
        metric.update({"y": np.array([[0.5]], np.float32)}, np.array(label))
    assert metric.compute() == 0.0


def test_spearman_of_an_embedding_asks_for_a_decode() -> None:
    with pytest.raises(UsageError, match="decode"):
        made("spearman").update({"y": np.zeros((1, 384), np.float32)}, np.array(1.0))
