"""Mean squared error between the first output and the label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric
from edgewright.benchmarks.metrics._regression import prediction_and_label
from edgewright.core.tensors import Array, Outputs

_WORST = float(np.finfo(np.float32).max)
"""The score of an answer that is not finite: worse than any that is, and still a number."""


class Mse(MeanMetric):
    """0 and up, in the label's unit squared; the mean over samples of each sample's mean over elements."""

    name = "mse"
    higher_is_better = False

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """One number per inference."""
        ours, theirs = prediction_and_label(outputs, expected)
        if not np.isfinite(ours).all():
            return np.array([_WORST])
        with np.errstate(over="ignore"):
            return np.array([min(float(np.mean((ours - theirs) ** 2)), _WORST)])
