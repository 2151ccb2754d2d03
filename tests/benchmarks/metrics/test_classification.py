from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from edgewright.benchmarks.metrics import Metric, registry
from edgewright.core.errors import BadInputError, UnavailableError, UsageError


def made(name: str) -> Metric:
    return registry().find(name)()


def scores(classes: list[int], count: int) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


@pytest.mark.parametrize("shape", [(10,), (1, 10), (1, 10, 1, 1)])
def test_top1_takes_scores_with_and_without_extra_axes(shape: tuple[int, ...]) -> None:
    metric = made("top1")
    output = np.arange(10, dtype=np.float32).reshape(shape)
    metric.update({"y": output}, np.array(9))
    metric.update({"y": output}, np.array([8]))
    assert metric.compute() == 0.5


def test_top1_of_a_batch_has_a_score_per_row() -> None:
    metric = made("top1")
    metric.update({"y": scores([0, 1, 2], 4)}, np.array([0, 1, 3]))
    assert metric.per_sample() is not None
    np.testing.assert_array_equal(metric.per_sample(), [1, 1, 0])


def test_top1_of_frames_is_their_mean() -> None:
    metric = made("top1")
    metric.update({"y": scores([0, 1, 2, 2], 4)[None]}, np.array([0, 1, 3, 3]))
    np.testing.assert_array_equal(metric.per_sample(), [0.5])


def test_top1_takes_class_indices_and_one_hot_labels() -> None:
    metric = made("top1")
    metric.update({"y": np.array([3], np.int64)}, np.array(3))
    metric.update({"y": scores([2], 4)}, np.array([0, 0, 1, 0]))
    assert metric.compute() == 1.0


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (np.array(10), "label 10 is out of range: the model tells classes 0 to 9 apart"),
        (np.array(-1), "label -1 is out of range"),
        (np.array(1.5), "1.5 is not a class index"),
        (np.array([[0, 1, 0, 0]]), "labels have 4 classes, the model's output has 10"),
        (np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0]), "marks 2 of 10 classes at once"),
        (np.array(["cat"]), "not numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(label: np.ndarray, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        made("top1").update({"y": scores([1], 10)}, label)


def test_one_score_is_no_choice_of_class() -> None:
    with pytest.raises(UsageError, match="decode"):
        made("agreement").update({"y": np.ones((1, 1), np.float32)}, {"y": np.ones((1, 1), np.float32)})


def test_top5_counts_ties_as_argmax_does() -> None:
    metric = made("top5")
    equal = np.zeros((1, 8), np.float32)
    metric.update({"y": equal}, np.array(4))
    metric.update({"y": equal}, np.array(5))
    np.testing.assert_array_equal(metric.per_sample(), [1, 0])


def test_top5_of_five_classes_is_refused() -> None:
    with pytest.raises(UsageError, match="5 classes"):
        made("top5").update({"y": scores([1], 5)}, np.array(1))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30))
def test_precision_recall_f1_are_scikit_learns(count: int, pairs: list[tuple[int, int]]) -> None:
    label, found = (np.array(column) % count for column in zip(*pairs, strict=True))
    average = "binary" if count == 2 else "macro"
    for name, reference in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
        metric = made(name)
        for one, right in zip(found, label, strict=True):
            metric.update({"y": scores([one], count)}, right)
        assert metric.compute() == pytest.approx(reference(label, found, average=average, zero_division=0), abs=1e-12)


@pytest.mark.parametrize("count", [1, 2])
def test_auc_by_hand(count: int) -> None:
    # Of 2 x 2 pairs of a positive and a negative, three are in order and one is tied: 3.5 / 4.
    metric = made("auc")
    for score, label in ((0.1, 0), (0.5, 0), (0.5, 1), (0.9, 1)):
        row = [score] if count == 1 else [1 - score, score]
        metric.update({"y": np.array([row], np.float32)}, np.array(label))
    assert metric.compute() == pytest.approx(0.875, abs=1e-6)


def test_auc_of_several_classes_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    logits, label = rng.normal(size=(60, 3)).astype(np.float32), rng.integers(0, 3, 60)
    metric = made("auc")
    for row, right in zip(logits, label, strict=True):
        metric.update({"y": row[None]}, right)
    raised = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # Softmax is computed in float32 here and there; ranks may differ in the last bit only.
    assert metric.compute() == pytest.approx(sk.roc_auc_score(label, raised, multi_class="ovr"), abs=1e-4)


def test_auc_of_one_class_is_refused() -> None:
    metric = made("auc")
    metric.update({"y": np.array([[0.4]], np.float32)}, np.array(1))
    with pytest.raises(BadInputError, match="two classes"):
        metric.compute()


@pytest.mark.parametrize("name", ["precision", "auc", "spearman", "map"])
def test_a_missing_library_names_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real: Callable[..., object] = importlib.import_module

    def refuse(module: str, package: str | None = None) -> object:
        if module.partition(".")[0] in ("sklearn", "scipy", "pycocotools"):
            raise ModuleNotFoundError(module)
        return real(module, package)

    monkeypatch.setattr(importlib, "import_module", refuse)
    with pytest.raises(UnavailableError) as caught:
        made(name)
    assert "edgewright[metrics]" in caught.value.remedy
