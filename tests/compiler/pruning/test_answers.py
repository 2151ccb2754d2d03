"""Errors of answers: what a classifier decides counts where its outputs are classes."""

from __future__ import annotations

import pytest
import torch

from edgewright.compiler.pruning.answers import class_error, error_for, output_error

_SCORES = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)) * 3


def test_the_error_of_classes_is_the_divergence_of_their_distributions() -> None:
    other = _SCORES + torch.tensor([1.0, 0, 0, 0, 0, 0])
    wanted = torch.nn.functional.kl_div(
        other.double().log_softmax(-1), _SCORES.double().log_softmax(-1), log_target=True, reduction="batchmean"
    )
    assert class_error([[_SCORES]], [[other]]) == pytest.approx(float(wanted), rel=1e-12)  # float64 sums
    assert class_error([[_SCORES]], [[_SCORES + 7]]) == pytest.approx(0, abs=1e-12)  # a shift of all scores is none
    halves = [[_SCORES[:20]], [_SCORES[20:]]], [[other[:20]], [other[20:]]]
    assert class_error(*halves) == pytest.approx(float(wanted), rel=1e-12)


def test_probabilities_are_taken_as_what_they_are() -> None:
    other = _SCORES * 0.5
    apart = class_error([[_SCORES.softmax(-1)]], [[other.softmax(-1)]])
    assert apart == pytest.approx(class_error([[_SCORES]], [[other]]), rel=1e-4)  # float32 probabilities


def test_answers_that_are_no_numbers_are_as_bad_as_can_be() -> None:
    assert class_error([[_SCORES]], [[_SCORES * float("nan")]]) == float("inf")


@pytest.mark.parametrize(
    ("metric", "shapes", "classes"),
    [
        ("top1", [(4, 10)], True),
        ("agreement", [(4, 10)], True),
        ("cosine", [(4, 10)], False),
        ("top1", [(4, 1)], False),
        ("top1", [(4, 10), (4, 2)], False),
        ("top1", [(4, 10, 3, 3)], False),
    ],
)
def test_only_scores_of_classes_are_taken_for_such(metric: str, shapes: list[tuple[int, ...]], classes: bool) -> None:
    answers = [[torch.zeros(shape) for shape in shapes]]
    assert error_for(metric, answers) is (class_error if classes else output_error)
