from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from edgewright.compiler.recovery.losses import labels_loss, output_loss, relative_error, soft_classes
from edgewright.core.errors import UsageError

RANDOM = torch.Generator().manual_seed(0)
SCORES = torch.randn(6, 5, generator=RANDOM) * 3
OTHER = torch.randn(6, 5, generator=RANDOM) * 3


def test_soft_classes_follow_the_formula() -> None:
    loss = soft_classes(3.0, "y", probabilities=False)
    mine, theirs = (functional.softmax(one / 3.0, dim=1).double().numpy() for one in (OTHER, SCORES))
    expected = 9.0 * np.mean(np.sum(theirs * np.log(theirs / mine), axis=1))
    assert float(loss({"y": OTHER}, {"y": SCORES})) == pytest.approx(expected, rel=1e-5)  # float32 against float64
    assert float(loss({"y": SCORES + 7}, {"y": SCORES})) == pytest.approx(
        0, abs=1e-5
    )  # a shift changes no distribution


def test_probabilities_count_as_the_scores_they_come_from() -> None:
    found, words = output_loss("auto", 2.0, "top1", {"y": functional.softmax(SCORES, dim=1)})
    plain, _ = output_loss("auto", 2.0, "top1", {"y": SCORES})
    after = found({"y": functional.softmax(OTHER, dim=1)}, {"y": functional.softmax(SCORES, dim=1)})
    assert float(after) == pytest.approx(
        float(plain({"y": OTHER}, {"y": SCORES})), rel=1e-3
    )  # probabilities end at 1e-6
    assert words == "soft classes at temperature 2"


def test_the_relative_error_is_the_mean_over_outputs_of_any_scale() -> None:
    teacher = {"a": torch.full((2, 3), 10.0), "b": torch.full((2, 1), 1e-3), "ids": torch.ones(2, dtype=torch.int64)}
    student = {"a": torch.full((2, 3), 11.0), "b": torch.full((2, 1), 2e-3), "ids": torch.zeros(2, dtype=torch.int64)}
    assert float(relative_error(student, teacher)) == pytest.approx((0.01 + 1.0) / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("metric", "answers", "sample", "classes"),
    [
        ("top1", "auto", {"y": SCORES}, True),
        ("cosine", "auto", {"y": SCORES}, False),
        ("cosine", "classes", {"y": SCORES}, True),
        ("top1", "values", {"y": SCORES}, False),
        ("top1", "auto", {"y": SCORES, "z": SCORES}, False),
        ("top1", "auto", {"y": SCORES[:, :1]}, False),
        ("agreement", "auto", {"y": SCORES.reshape(2, 3, 5)}, True),
    ],
)
def test_the_metric_says_what_outputs_are(
    metric: str, answers: str, sample: dict[str, torch.Tensor], classes: bool
) -> None:
    assert (output_loss(answers, 2.0, metric, sample)[1] != "relative squared error") == classes


def test_outputs_that_cannot_be_followed_are_refused() -> None:
    with pytest.raises(UsageError, match="no output of floating point"):
        output_loss("auto", 2.0, "top1", {"y": torch.ones(2, 3, dtype=torch.int64)})
    with pytest.raises(UsageError, match=r"'a' \(6, 5\), 'b' \(6, 5\) are no scores of classes"):
        output_loss("classes", 2.0, "top1", {"a": SCORES, "b": SCORES})


def test_cross_entropy_is_known_for_class_indices_alone() -> None:
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    found = labels_loss("", {"y": SCORES}, labels, classes=True)
    assert not isinstance(found, str)
    expected = functional.cross_entropy(SCORES, labels)
    assert float(found({"y": SCORES}, labels[:, None])) == float(expected)
    assert labels_loss("", {"y": SCORES}, labels + 1, classes=True) == "labels from 1 to 5 do not fit 5 classes"
    assert "whole number" in str(labels_loss("", {"y": SCORES}, labels.float(), classes=True))
    assert "one output" in str(labels_loss("", {"y": SCORES, "z": SCORES}, labels, classes=True))


def squared(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    return (outputs["y"].sum(1) - labels).square().mean()


def no_tensor(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> float:
    return 1.0


def broken(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    return outputs["nowhere"]


def test_a_loss_of_the_user_is_called_and_blamed() -> None:
    labels = torch.arange(6.0)
    found = labels_loss(f"{__file__}:squared", {"y": SCORES}, labels, classes=False)
    assert not isinstance(found, str)
    assert float(found({"y": SCORES}, labels)) == float(squared({"y": SCORES}, labels))
    for name, words in (("no_tensor", "gave float"), ("broken", "nowhere")):
        wrong = labels_loss(f"{__file__}:{name}", {"y": SCORES}, labels, classes=False)
        assert not isinstance(wrong, str)
        with pytest.raises(UsageError, match=words):
            wrong({"y": SCORES}, labels)


def test_values_with_whole_numbers_beside_them_are_not_taken_for_classes() -> None:
    assert "scores of classes" in str(labels_loss("", {"y": SCORES}, torch.zeros(6, dtype=torch.int64), classes=False))


def test_cross_entropy_of_probabilities_is_that_of_their_scores() -> None:
    labels = torch.tensor([0, 1, 2, 3, 4, 0])
    soft = {"y": functional.softmax(SCORES, dim=1)}
    found = labels_loss("", soft, labels, classes=True)
    assert not isinstance(found, str)
    assert float(found(soft, labels)) == pytest.approx(float(functional.cross_entropy(SCORES, labels)), rel=1e-3)
