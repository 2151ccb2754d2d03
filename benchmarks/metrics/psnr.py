"""Peak signal-to-noise ratio in decibels between the first output and the label: 10 log10(peak^2 / MSE)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric
from edgewright.benchmarks.metrics._classes import first_output, label_array
from edgewright.benchmarks.metrics._regression import prediction_and_label
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs

_HIGHEST_DB = 100.0
"""What equal images score: their ratio is infinite, and a mean needs a number."""


class Psnr(MeanMetric):
    """0 to 100 dB; the mean over images. Peak is 255 for uint8 labels and 1 for floating-point ones."""

    name = "psnr"

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """One number per image of a batch (four axes or more), else per inference; 0 for one that is not finite."""
        ours, theirs = prediction_and_label(outputs, expected)
        _, array = first_output(outputs)
        # A ratio of a whole batch's error is not the mean of its images' ratios.
        images = array.shape[0] if array.ndim >= 4 else 1
        peak = _peak(label_array(expected))
        with np.errstate(over="ignore", invalid="ignore"):
            errors = ((ours - theirs) ** 2).reshape(images, -1).mean(1)
        return np.array([_decibels(peak, float(error)) for error in errors])


def _decibels(peak: float, error: float) -> float:
    if not np.isfinite(error):
        return 0.0
    return float(np.clip(20 * np.log10(peak) - 10 * np.log10(error), 0, _HIGHEST_DB)) if error > 0 else _HIGHEST_DB


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
