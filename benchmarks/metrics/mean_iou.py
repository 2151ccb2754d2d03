"""Mean intersection over union of a segmentation: per class TP / (TP + FP + FN) over all pixels, then the mean.

As in PASCAL VOC (Everingham et al. 2010): the confusion matrix covers the whole set, label 255 marks pixels that do
not count, and a class that neither the labels nor the predictions have is left out of the mean.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric
from edgewright.benchmarks.metrics._classes import first_output, label_array
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs

_VOID = 255


class MeanIou(Metric):
    """0 to 1. The first output is ``(1, classes, H, W)`` or ``(1, H, W, classes)`` scores, or ``(1, H, W)`` classes.

    Labels are ``(H, W)`` class indices. What is kept is one matrix of classes x classes.
    """

    name = "mean-iou"

    def __init__(self) -> None:
        self._confusion: npt.NDArray[np.int64] = np.zeros((0, 0), np.int64)

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs and its label."""
        name, array = first_output(outputs)
        label = label_array(expected)
        label = label[None] if label.ndim == 2 else label
        found, count = _class_map(name, array, label)
        counted = label != _VOID
        label, found = label[counted].astype(np.int64), found[counted]
        if label.size and (label.min() < 0 or (count is not None and label.max() >= count)):
            raise BadInputError(
                f"label {label.min() if label.min() < 0 else label.max()} is out of range"
                + (f": the model tells {count} classes apart" if count is not None else ""),
                f"Classes start at 0; {_VOID} marks pixels that do not count.",
            )
        self._grow(max([count or 0, *(int(a.max(initial=-1)) + 1 for a in (label, found))]))
        size = len(self._confusion)
        self._confusion += np.bincount(label * size + found, minlength=size * size).reshape(size, size)

    def compute(self) -> float:
        """The mean over classes that occur."""
        hits = np.diag(self._confusion)
        union = self._confusion.sum(0) + self._confusion.sum(1) - hits
        if not union.any():
            raise BadInputError("metric mean-iou was given no pixel that counts", "Give labels other than 255.")
        return float((hits[union > 0] / union[union > 0]).mean())

    def _grow(self, size: int) -> None:
        missing = size - len(self._confusion)
        if missing > 0:
            self._confusion = np.pad(self._confusion, ((0, missing), (0, missing)))


def _class_map(name: str, array: Array, label: Array) -> tuple[npt.NDArray[np.int64], int | None]:
    """``(N, H, W)`` predicted classes of the label's shape, and how many classes there are."""
    if array.ndim == 4 and (array.shape[0], *array.shape[2:]) == label.shape and array.shape[1] > 1:
        return _argmax(array, 1), array.shape[1]
    if array.ndim == 4 and array.shape[:3] == label.shape and array.shape[3] > 1:
        return _argmax(array, 3), array.shape[3]
    if array.size == label.size and array.shape[-2:] == label.shape[-2:] and array.dtype.kind in "iu":
        return array.reshape(label.shape).astype(np.int64), None
    raise BadInputError(
        f"output '{name}' is {array.dtype.name} {array.shape}, its label {label.shape}",
        "Segmentation needs class scores or integer classes of the label's height and width: resize in a decode.",
    )


def _argmax(scores: Array, axis: int) -> npt.NDArray[np.int64]:
    # NaN must not win a pixel: argmax would choose it.
    return np.asarray(np.where(np.isnan(scores), -np.inf, scores).argmax(axis), np.int64)
