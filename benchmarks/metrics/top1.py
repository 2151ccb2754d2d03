"""Top-1 accuracy: the share of samples whose highest-scored class is the label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric
from edgewright.benchmarks.metrics._classes import class_labels, predicted
from edgewright.core.tensors import Array, Outputs


class Top1(MeanMetric):
    """0 to 1. A sample with several positions (frames, pixels) scores their mean."""

    name = "top1"

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """1 for each row that is right, 0 for each that is wrong or holds NaN."""
        classes = predicted(outputs)
        batch, positions = classes.index.shape
        return np.asarray((classes.index == class_labels(expected, (batch, positions), classes.count)).mean(-1))
