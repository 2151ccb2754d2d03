"""The learning rate as a pure function of the step, so that a resumed run has the very same one."""

from __future__ import annotations

import math


def learning_rate(step: int, steps: int, highest: float, warmup: float) -> float:
    """The rate of ``step`` (0 <= step < steps): up a straight line to ``highest``, then down a half cosine to 0.

    The cosine is that of Loshchilov & Hutter, SGDR (2017), without restarts.

    Args:
        warmup: share of all steps that the rise takes.

    >>> [round(learning_rate(step, 10, 1.0, 0.2), 3) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.038]
    """
    rising = round(steps * warmup)
    if step < rising:
        return highest * (step + 1) / rising
    share = (step - rising) / max(1, steps - rising)
    return highest * 0.5 * (1.0 + math.cos(math.pi * share))
