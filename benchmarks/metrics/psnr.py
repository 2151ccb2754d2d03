"""Peak signal-to-noise ratio in decibels between the first output and the label: 10 log10(peak^2 / MSE)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric
from edgewright.benchmarks.metrics._classes import label_array
from edgewright.benchmarks.metrics._regression import prediction_and_label
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs

_HIGHEST_DB = 100.0
"""What equal images score: their ratio is infinite, and a mean needs a number."""


class Psnr(MeanMetric):
    """0 to 100 dB; the mean over samples. Peak is 255 for uint8 labels and 1 for floating-point ones."""

    name = "psnr"

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """One number per inference; 0 for an answer that is not finite."""
        ours, theirs = prediction_and_label(outputs, expected)
        peak = _peak(label_array(expected))
        if not np.isfinite(ours).all():
            return np.array([0.0])
        error = float(np.mean((ours - theirs) ** 2))
        ratio = 10 * np.log10(peak**2 / error) if error > 0 else _HIGHEST_DB
        return np.array([float(np.clip(ratio, 0, _HIGHEST_DB))])


def _peak(label: Array) -> float:
    if label.dtype == np.uint8:
        return 255.0
    if label.dtype.kind == "f" and float(np.abs(label).max(initial=0)) <= 1.0:
        return 1.0
    raise BadInputError(
        f"psnr needs labels of type uint8 (0 to 255) or floats within -1 to 1, these are {label.dtype.name} up to"
        f" {np.abs(label).max(initial=0):.4g}",
        "Scale the labels, and the outputs with a decode function.",
    )
