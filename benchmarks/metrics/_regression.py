"""What metrics of regression are made of: the first output beside a label of the same form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._classes import first_output, label_array
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs


def prediction_and_label(
    outputs: Outputs, label: Array | Outputs
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The first output and the label, both flat; axes of size 1 (the batch) may differ.

    Raises:
        BadInputError: shapes that differ otherwise, or numbers that are not finite.
    """
    name, array = first_output(outputs)
    want = label_array(label)
    if _core(array) != _core(want):
        raise BadInputError(
            f"output '{name}' has shape {array.shape}, its label {want.shape}", "Give labels of the output's shape."
        )
    ours, theirs = array.astype(np.float64).reshape(-1), want.astype(np.float64).reshape(-1)
    if not np.isfinite(theirs).all():
        raise BadInputError("a label is NaN or infinite", "Leave such samples out of the data.")
    return ours, theirs


def _core(array: Array) -> tuple[int, ...]:
    return tuple(size for size in array.shape if size != 1)
