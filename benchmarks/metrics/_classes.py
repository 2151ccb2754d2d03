"""What classification metrics are made of: class scores out of a model's outputs, class indices out of labels.

The *first* output (in the model's order) holds the classes; a model whose classes are elsewhere names a decode
function. Its last axis is the class (trailing axes of size 1, as after a global pooling, do not count); an int32 or
int64 output holds class indices already (a model that ends in ArgMax).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import Array, Outputs

NO_CLASS = -1
"""The class of a row that holds NaN: it equals no label."""
_DECODE = "Name a decode function that returns class scores, or another metric."


@dataclass(frozen=True)
class Classes:
    """Predicted classes of one sample: ``(batch, positions)``, and how many classes there are where that is known."""

    index: npt.NDArray[np.int64]
    count: int | None


def class_scores(outputs: Outputs) -> npt.NDArray[np.floating]:
    """The first output as ``(batch, positions, classes)``; float32, or float64 where that would round scores.

    Raises:
        UsageError: when the model has no outputs, or the first one holds class indices, text or single values.
    """
    name, scores = first_output(outputs)
    if scores.dtype.name in ("int32", "int64", "bool") or scores.dtype.kind not in "fiuV":
        raise UsageError(f"output '{name}' is {scores.dtype.name}, not class scores", _DECODE)
    scores = _trimmed(scores)
    if scores.shape[-1] < 2:
        raise UsageError(f"output '{name}' has shape {scores.shape}: one score is not a choice of class", _DECODE)
    wide = scores.dtype.name in ("float64", "uint32", "uint64")
    return scores.reshape(scores.shape[0], -1, scores.shape[-1]).astype(np.float64 if wide else np.float32, copy=False)


def predicted(outputs: Outputs) -> Classes:
    """The class with the highest score at each position; ties go to the lower index, as argmax has it.

    Raises:
        UsageError: as :func:`class_scores`.
    """
    _, array = first_output(outputs)
    if array.dtype.name in ("int32", "int64", "bool"):
        return Classes(np.atleast_1d(array).reshape(array.shape[0] if array.ndim else 1, -1).astype(np.int64), None)
    scores = class_scores(outputs)
    index = scores.argmax(-1).astype(np.int64)
    index[np.isnan(scores).any(-1)] = NO_CLASS
    return Classes(index, scores.shape[-1])


def class_labels(label: Array | Outputs, shape: tuple[int, int], count: int | None) -> npt.NDArray[np.int64]:
    """The right class at each position, of ``shape`` (batch, positions).

    Args:
        label: class indices, one per position; or one-hot rows (soft labels count as their largest entry).
        shape: the prediction's.
        count: how many classes the model tells apart; None when it answers indices.

    Raises:
        BadInputError: when the label does not fit: wrong number, fractions, out of range, another class count.
    """
    given = label_array(label)
    positions = shape[0] * shape[1]
    if given.size != positions:
        return _from_rows(given, shape, count)
    with np.errstate(invalid="ignore"):
        index = given.astype(np.int64)
    if not np.array_equal(index, given):
        raise BadInputError(
            f"label {given[index != given][0]} is not a class index", "Labels of a classifier are whole numbers from 0."
        )
    top = f"0 to {count - 1}" if count is not None else "0 and up"
    wrong = index[(index < 0) | (index >= count)] if count is not None else index[index < 0]
    if wrong.size:
        raise BadInputError(
            f"label {wrong.reshape(-1)[0]} is out of range: the model tells classes {top} apart",
            "Check that the labels were numbered as the model was trained (a background class shifts them by one).",
        )
    return index.reshape(shape)


def label_array(label: Array | Outputs) -> Array:
    """The label as an array of numbers.

    Raises:
        BadInputError: when it holds anything else.
    """
    if isinstance(label, dict):
        raise TypeError("a metric of labels was given the original's outputs")
    array = np.asarray(label)
    if array.dtype.kind not in "biuf":
        raise BadInputError(f"labels are {array.dtype.name}, not numbers", "Store them as integers or floats.")
    return array


def first_output(outputs: Outputs) -> tuple[str, Array]:
    """Name and value of the first output.

    Raises:
        UsageError: when there is none.
    """
    for name, array in outputs.items():
        return name, array
    raise UsageError("the model has no outputs to judge", "Check the decode function.")


def _from_rows(given: Array, shape: tuple[int, int], count: int | None) -> npt.NDArray[np.int64]:
    positions = shape[0] * shape[1]
    if count is not None and given.size == positions * count:
        rows = given.reshape(positions, count)
        if ((rows != 0).sum(-1) == 1).all() or np.allclose(rows.sum(-1), 1, atol=1e-3):
            return np.asarray(rows.argmax(-1), np.int64).reshape(shape)
        raise BadInputError(
            f"a label marks {int((rows != 0).sum(-1).max())} of {count} classes at once",
            "Labels with several classes need a metric of your own (--metric file.py:function).",
        )
    if count is not None and given.ndim and given.size % positions == 0 and given.size > positions:
        raise BadInputError(
            f"labels have {given.size // positions} classes, the model's output has {count}",
            "Give labels of the model's own classes.",
        )
    raise BadInputError(
        f"a label of shape {given.shape} does not fit a prediction of {positions} position(s)",
        "Give one class index per predicted position.",
    )


def _trimmed(scores: Array) -> Array:
    while scores.ndim > 2 and scores.shape[-1] == 1:
        scores = scores[..., 0]
    return scores if scores.ndim > 1 else scores.reshape(1, -1)
