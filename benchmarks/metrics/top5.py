"""Top-5 accuracy: the share of samples whose label is among the five highest-scored classes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric
from edgewright.benchmarks.metrics._classes import class_labels, class_scores
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Array, Outputs

_PLACES = 5


class Top5(MeanMetric):
    """0 to 1; ties are resolved as argmax does, towards the lower class index."""

    name = "top5"

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """1 for each row whose label has fewer than five classes ahead of it; 0 for a row with NaN."""
        scores = class_scores(outputs)
        batch, positions, count = scores.shape
        if count <= _PLACES:
            raise UsageError(f"top5 says nothing about a model of {count} classes", "Use --metric top1.")
        label = class_labels(expected, (batch, positions), count)[..., None]
        own = np.take_along_axis(scores, label, -1)
        ahead = (scores > own) | ((scores == own) & (np.arange(count) < label))
        right = (ahead.sum(-1) < _PLACES) & ~np.isnan(scores).any(-1)
        return np.asarray(right.mean(-1))
