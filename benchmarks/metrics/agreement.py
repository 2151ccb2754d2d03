"""Agreement: the share of samples on which the compiled classifier chooses the class the original chose (fidelity)."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric
from edgewright.benchmarks.metrics._classes import predicted
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs


class Agreement(MeanMetric):
    """0 to 1; needs no labels. It says nothing about whether the original is right."""

    name = "agreement"
    compares_to: Literal["labels", "original"] = "original"

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """1 for each row with the same class, 0 for each other."""
        if not isinstance(expected, dict):
            raise TypeError("agreement compares with the original's outputs, not with labels")
        ours, theirs = predicted(outputs).index, predicted(expected).index
        if ours.shape != theirs.shape:
            raise BadInputError(f"predictions of shape {ours.shape} against {theirs.shape} of the original")
        return np.asarray((ours == theirs).mean(-1))
