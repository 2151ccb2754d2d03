"""Which of two epochs is kept: the metric decides where it can tell them apart, the loss where it cannot."""

from __future__ import annotations

import pytest

from edgewright.compiler.recovery.result import Score, preferred

WORTH = 0.003


@pytest.mark.parametrize(
    ("new", "best", "kept"),
    [
        (Score(0.010, 1.0), Score(0.020, 0.5), True),
        (Score(0.020, 0.5), Score(0.010, 1.0), False),
        (Score(0.012, 0.5), Score(0.010, 1.0), True),
        (Score(0.010, 1.0), Score(0.012, 0.5), False),
        (Score(None, 0.5), Score(None, 1.0), True),
        (Score(None, 1.0), Score(None, 0.5), False),
    ],
)
def test_a_few_samples_that_flip_do_not_decide(new: Score, best: Score, kept: bool) -> None:
    assert preferred(new, best, [best], WORTH) is kept


def test_small_steps_down_do_not_add_up() -> None:
    """Each epoch within reach of the one before, the last far from the best."""
    scores = [Score(0.01 + 0.002 * step, 1.0 - 0.1 * step) for step in range(5)]
    best = scores[0]
    for place, score in enumerate(scores[1:], 1):
        best = score if preferred(score, best, scores[:place], WORTH) else best
    assert best == scores[1]


def test_what_falls_out_of_reach_gives_way() -> None:
    """A later, better epoch makes the kept one too bad, whatever the losses are."""
    first, kept, best = Score(0.010, 1.0), Score(0.012, 0.5), Score(0.008, 0.9)
    assert preferred(best, kept, [first, kept], WORTH)
