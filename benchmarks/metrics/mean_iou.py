"""Mean intersection over union of a segmentation: per class TP / (TP + FP + FN) over all pixels, then the mean.

As in PASCAL VOC (Everingham et al. 2010): pixels are counted over the whole set, label 255 marks those that do not
count, and a class that neither the labels nor the predictions have is left out of the mean. A pixel with a score of
NaN, or a negative class, is of no class: wrong, whatever its label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric
from edgewright.benchmarks.metrics._classes import NO_CLASS, first_output, label_array
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs

_VOID = 255
_MOST_CLASSES = 1 << 16


class MeanIou(Metric):
    """0 to 1. The first output is ``(1, classes, H, W)`` or ``(1, H, W, classes)`` scores, or ``(1, H, W)`` classes.

    Labels are ``(H, W)`` class indices; both may be batches. What is kept is three counts for each class.
    """

    name = "mean-iou"

    def __init__(self) -> None:
        self._counts: npt.NDArray[np.int64] = np.zeros((3, 0), np.int64)
        """``(3, classes)``: pixels that are of a class, that were predicted as it, and both."""

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs and its label."""
        name, array = first_output(outputs)
        label = label_array(expected)
        label = label[None] if label.ndim == 2 else label
        found, count = _class_map(name, array, label)
        counted = label != _VOID
        label, found = _whole(label[counted]), found[counted]
        if label.size and (label.min() < 0 or (count is not None and label.max() >= count)):
            raise BadInputError(
                f"label {label.min() if label.min() < 0 else label.max()} is out of range"
                + (f": the model tells {count} classes apart" if count is not None else ""),
                f"Classes start at 0; {_VOID} marks pixels that do not count.",
            )
        size = max(count or 0, *(int(one.max(initial=-1)) + 1 for one in (label, found)), self._counts.shape[1])
        if size > _MOST_CLASSES:
            raise BadInputError(f"class {size - 1} occurs in '{name}' or its label", f"Number below {_MOST_CLASSES}.")
        self._counts = np.pad(self._counts, ((0, 0), (0, size - self._counts.shape[1])))
        for row, classes in enumerate((label, found[found >= 0], label[label == found])):
            self._counts[row] += np.bincount(classes, minlength=size)

    def compute(self) -> float:
        """The mean over classes that occur."""
        true, found, hits = self._counts
        union = true + found - hits
        if not union.any():
            raise BadInputError("metric mean-iou was given no pixel that counts", "Give labels other than 255.")
        return float((hits[union > 0] / union[union > 0]).mean())


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
    return np.where(np.isnan(scores).any(axis), NO_CLASS, scores.argmax(axis)).astype(np.int64)


def _whole(label: Array) -> npt.NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        index = label.astype(np.int64)
    if not np.array_equal(index, label):
        raise BadInputError(
            f"label {label[index != label][0]} is not a class index", "Labels of pixels are whole numbers from 0."
        )
    return index
