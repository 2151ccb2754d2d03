"""What detection metrics are made of: boxes out of outputs and labels, and COCO's average precision over them.

COCO's protocol (https://cocodataset.org/#detection-eval) as pycocotools computes it: 101 recall points, at most 100
boxes per image, each true box matched once, best score first, averaged over the classes that occur.
"""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric
from edgewright.benchmarks.metrics._classes import first_output, label_array
from edgewright.benchmarks.metrics._sklearn import need
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import Array, Outputs

_COLUMNS = 6
_NAMES = ("boxes", "scores", "labels")


@dataclass(frozen=True)
class Boxes:
    """Boxes of one image: ``(n, 4)`` corners x0, y0, x1, y1; ``(n,)`` classes; ``(n,)`` scores (1 for true boxes)."""

    corners: npt.NDArray[np.float64]
    classes: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]


class AveragePrecision(Metric):
    """0 to 1. Outputs are one array ``(n, 6)`` per image of x0, y0, x1, y1, score, class, after suppression.

    Or three outputs named boxes ``(n, 4)``, scores ``(n,)`` and labels ``(n,)``. Rows with a negative class or a score
    of 0 or less are padding. The sample's label is ``(m, 5)``: x0, y0, x1, y1, class, padded with class -1. All may
    have a batch axis of images in front. A model that answers anything else names a decode function.
    """

    thresholds: tuple[float, ...] = ()

    def __init__(self) -> None:
        self._library = need("pycocotools.cocoeval", self.name)
        self._found: list[Boxes] = []
        self._true: list[Boxes] = []

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes the boxes of one image, or of each of a batch, and the true ones."""
        found, true = found_boxes(outputs), true_boxes(expected)
        if len(found) != len(true):
            raise BadInputError(
                f"the outputs have boxes of {len(found)} image(s), the label of {len(true)}",
                "Give labels of shape (images, m, 5), padded with class -1.",
            )
        self._found += found
        self._true += true

    def compute(self) -> float:
        """The mean over thresholds, recall points and the classes that occur in the labels."""
        if not any(len(boxes.classes) for boxes in self._true):
            raise BadInputError(f"metric {self.name} was given no true box", "Give labels with boxes.")
        coco = need("pycocotools.coco", self.name).COCO
        # The library reports its progress on stdout, which belongs to our results.
        with contextlib.redirect_stdout(io.StringIO()):
            truth, found = coco(), coco()
            classes = {int(label) for boxes in (*self._true, *self._found) for label in boxes.classes}
            for data, images in ((truth, self._true), (found, self._found)):
                data.dataset = _dataset(images, classes)
                data.createIndex()
            run = self._library.COCOeval(truth, found, "bbox")
            run.params.iouThrs = np.array(self.thresholds)
            # The library's "all" ends at 1e10 square pixels, beyond which a true box would not count.
            run.params.areaRng, run.params.areaRngLbl = [[0, np.inf]], ["all"]
            run.evaluate()
            run.accumulate()
        precision = run.eval["precision"][:, :, :, 0, -1]
        return float(precision[precision > -1].mean())


def found_boxes(outputs: Outputs) -> list[Boxes]:
    """The boxes in a model's outputs, image by image.

    Raises:
        UsageError: when they are in no form described at :class:`AveragePrecision`.
    """
    if all(name in outputs for name in _NAMES):
        return [_found(table) for table in _named_tables(outputs)]
    name, array = first_output(outputs)
    if array.ndim not in (2, 3) or array.shape[-1] != _COLUMNS:
        raise UsageError(
            f"output '{name}' has shape {array.shape}: not boxes of one image, or of a batch",
            "Name a decode function that returns (n, 6): x0, y0, x1, y1, score, class, after suppression.",
        )
    return [_found(table) for table in _images(array)]


def true_boxes(label: Array | Outputs) -> list[Boxes]:
    """The boxes of a label, image by image.

    Raises:
        BadInputError: when it has another form, or boxes that are none.
    """
    given = label_array(label)
    if given.ndim not in (2, 3) or given.shape[-1] != 5:
        raise BadInputError(
            f"a label has shape {given.shape}: not (m, 5) boxes",
            "Give x0, y0, x1, y1, class per box; pad with class -1.",
        )
    return [_true(table) for table in _images(given)]


def _images(array: Array) -> list[npt.NDArray[np.float64]]:
    return list(array.astype(np.float64).reshape(array.shape if array.ndim == 3 else (1, *array.shape)))


def _named_tables(outputs: Outputs) -> list[npt.NDArray[np.float64]]:
    corners, scores, classes = (np.asarray(outputs[name], np.float64) for name in _NAMES)
    images = corners.shape[0] if corners.ndim == 3 else 1
    count = corners.size // 4 // max(images, 1)
    if corners.ndim not in (2, 3) or corners.shape[-1] != 4 or not images * count == scores.size == classes.size:
        shapes = ", ".join(f"{name} {np.asarray(outputs[name]).shape}" for name in _NAMES)
        raise UsageError(
            f"outputs of shape {shapes} are not boxes, each with its score and label",
            "Name a decode function that returns boxes (n, 4), scores (n,) and labels (n,).",
        )
    columns = [corners.reshape(images, count, 4), *(one.reshape(images, count, 1) for one in (scores, classes))]
    return list(np.concatenate(columns, 2))


def _found(table: npt.NDArray[np.float64]) -> Boxes:
    kept = np.isfinite(table).all(1) & (table[:, 4] > 0) & (table[:, 5] >= 0)
    table = table[kept]
    return Boxes(table[:, :4], table[:, 5].astype(np.int64), table[:, 4])


def _true(table: npt.NDArray[np.float64]) -> Boxes:
    table = table[~(table[:, 4] < 0)]
    if not np.isfinite(table).all():
        raise BadInputError("a true box has a corner or class that is not finite", "Leave such boxes out of the data.")
    if (table[:, 2:4] < table[:, :2]).any():
        raise BadInputError("a true box ends before it begins", "Boxes are corners: x0, y0, x1, y1.")
    if (table[:, 4] != np.floor(table[:, 4])).any():
        raise BadInputError("a true box has a class that is no whole number", "Classes are whole numbers from 0.")
    return Boxes(table[:, :4], table[:, 4].astype(np.int64), np.ones(len(table)))


def _dataset(images: list[Boxes], classes: set[int]) -> dict[str, object]:
    """COCO's own form. Identifiers start at 1: the library takes 0 for "not matched"."""
    annotations: list[dict[str, object]] = []
    for image, boxes in enumerate(images):
        for (x0, y0, x1, y1), label, score in zip(boxes.corners, boxes.classes, boxes.scores, strict=True):
            width, height = max(float(x1 - x0), 0.0), max(float(y1 - y0), 0.0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image,
                    "category_id": int(label),
                    "bbox": [float(x0), float(y0), width, height],
                    "area": width * height,
                    "score": float(score),
                    "iscrowd": 0,
                }
            )
    return {
        "images": [{"id": image} for image in range(len(images))],
        "categories": [{"id": label} for label in sorted(classes)],
        "annotations": annotations,
        "info": {},
    }
