"""How far BlazeFace's best box, and its score, moved from the original's. Loadable by path: it imports no sibling.

Anchors as in MediaPipe's short-range model: 16x16 cells with two boxes and 8x8 cells with six, centres at cell centres,
sizes in pixels of 128.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

SIDE = 128
GRIDS = ((16, 2), (8, 6))
DETECTED = 0.5


class BestFace:
    """Base: pairs of the best (box, score) of the compiled and of the original model."""

    compares_to: Literal["original"] = "original"
    name: str
    higher_is_better: bool

    def __init__(self) -> None:
        self._values: list[float] = []

    def update(self, outputs: dict[str, np.ndarray], expected: np.ndarray | dict[str, np.ndarray]) -> None:
        assert isinstance(expected, dict)
        self._values += self._judge(best_face(outputs), best_face(expected))

    def compute(self) -> float:
        return float(np.mean(self._values)) if self._values else float("nan")

    def per_sample(self) -> np.ndarray | None:
        return np.asarray(self._values)

    def _judge(self, new: tuple[np.ndarray, float], old: tuple[np.ndarray, float]) -> list[float]:
        raise NotImplementedError


class BoxOverlap(BestFace):
    """Mean IoU over the samples in which the original finds a face; 0 where the compiled model finds none."""

    name = "face_iou"
    higher_is_better = True

    def _judge(self, new: tuple[np.ndarray, float], old: tuple[np.ndarray, float]) -> list[float]:
        if old[1] < DETECTED:
            return []
        return [box_iou(new[0], old[0]) if new[1] >= DETECTED else 0.0]


class ScoreDrift(BestFace):
    """Mean absolute difference of the best score, over all samples."""

    name = "face_score_drift"
    higher_is_better = False

    def _judge(self, new: tuple[np.ndarray, float], old: tuple[np.ndarray, float]) -> list[float]:
        return [abs(new[1] - old[1])]


def best_face(outputs: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
    """Box `(4,)` xyxy in units of the image and probability of the highest-scored anchor of one image."""
    by_shape = {array.shape[-2:]: array.reshape(array.shape[-2:]).astype(np.float64) for array in outputs.values()}
    counts = [cells * cells * boxes for cells, boxes in GRIDS]
    logits = np.concatenate([by_shape[count, 1][:, 0] for count in counts])
    raw = np.concatenate([by_shape[count, 16] for count in counts])[:, :4] / SIDE
    best = int(logits.argmax())
    x, y = anchor_centres()[best] + raw[best, :2]
    width, height = raw[best, 2:]
    box = np.array([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return box, float(1 / (1 + np.exp(-np.clip(logits[best], -100, 100))))


def anchor_centres() -> np.ndarray:
    """`(896, 2)` of x and y in units of the image."""
    centres = []
    for cells, boxes in GRIDS:
        rows, columns = np.mgrid[0:cells, 0:cells]
        cell = np.stack([columns, rows], -1).reshape(-1, 2)
        centres.append(np.repeat((cell + 0.5) / cells, boxes, axis=0))
    return np.concatenate(centres)


def box_iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = float(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod())
    union = float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared
    return shared / union if union > 0 else 0.0


def overlap() -> BoxOverlap:
    return BoxOverlap()


def score_drift() -> ScoreDrift:
    return ScoreDrift()
