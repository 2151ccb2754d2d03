"""Mean average precision of an anchor-free detector whose decoding and suppression happen outside the graph.

AP is the area under the interpolated precision-recall curve of one class (the all-point form of PASCAL VOC 2010),
averaged over the classes that occur; each true box may be matched once, best score first. Loadable by path: it imports
no sibling.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

CLASSES = 10
SCORE_FLOOR = 0.05
SUPPRESSION_IOU = 0.5


class MeanAveragePrecision:
    """Over outputs `(1, cells, 5 + CLASSES)`; labels `(boxes, 5)` of xyxy and class, padded with -1."""

    higher_is_better = True
    compares_to: Literal["labels"] = "labels"

    def __init__(self, matching_iou: float) -> None:
        self.name = f"map{round(matching_iou * 100)}"
        self._matching_iou = matching_iou
        self._found: list[np.ndarray] = []
        self._true: list[np.ndarray] = []

    def update(self, outputs: dict[str, np.ndarray], expected: np.ndarray | dict[str, np.ndarray]) -> None:
        assert not isinstance(expected, dict)
        cells = next(iter(outputs.values()))
        truth = np.asarray(expected, np.float64)
        for scene, boxes in zip(cells, truth.reshape(len(cells), -1, 5), strict=True):
            self._found.append(decode(scene))
            self._true.append(boxes[boxes[:, 4] >= 0])

    def compute(self) -> float:
        """The mean over classes, in [0, 1]."""
        return float(np.mean([self._average_precision(k) for k in range(CLASSES) if self._count(k)]))

    def per_sample(self) -> np.ndarray | None:
        """None: precision ranks the detections of all scenes together, so no scene has a value of its own."""
        return None

    def _count(self, label: int) -> int:
        return sum(int((boxes[:, 4] == label).sum()) for boxes in self._true)

    def _average_precision(self, label: int) -> float:
        scored: list[tuple[float, bool]] = []
        for found, true in zip(self._found, self._true, strict=True):
            scored += match(found[found[:, 4] == label], true[true[:, 4] == label], self._matching_iou)
        if not scored:
            return 0.0
        scored.sort(key=lambda entry: -entry[0])
        hits = np.cumsum([hit for _, hit in scored])
        precision = hits / np.arange(1, len(hits) + 1)
        recall = hits / self._count(label)
        best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
        return float((np.diff(recall, prepend=0.0) * best_from_here).sum())


def decode(cells: np.ndarray) -> np.ndarray:
    """`(cells, 5 + CLASSES)` -> `(found, 6)` of xyxy, class, score after class-wise suppression."""
    cells = np.nan_to_num(cells.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    scores = cells[:, 4:5] * cells[:, 5:]
    found: list[np.ndarray] = []
    for label in range(CLASSES):
        order = np.flatnonzero(scores[:, label] > SCORE_FLOOR)
        order = order[np.argsort(-scores[order, label], kind="stable")]
        boxes = cells[order, :4]
        overlap = box_iou(boxes, boxes)
        kept: list[int] = []
        for i in range(len(order)):
            if not kept or overlap[i, kept].max() < SUPPRESSION_IOU:
                kept.append(i)
        found += [np.array([*boxes[i], label, scores[order[i], label]]) for i in kept]
    return np.array(found).reshape(-1, 6)


def match(found: np.ndarray, true: np.ndarray, matching_iou: float) -> list[tuple[float, bool]]:
    """Score and hit of each found box of one class in one scene; only the first to claim a true box hits."""
    overlap = box_iou(found[:, :4], true[:, :4])
    claimed: set[int] = set()
    scored: list[tuple[float, bool]] = []
    for i in np.argsort(-found[:, 5], kind="stable"):
        best = int(overlap[i].argmax()) if len(true) else -1
        hit = best >= 0 and best not in claimed and bool(overlap[i, best] >= matching_iou)
        if hit:
            claimed.add(best)
        scored.append((float(found[i, 5]), hit))
    return scored


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(n, 4)` and `(m, 4)` of xyxy -> `(n, m)`; boxes of no area overlap nothing."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    opposite = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    shared = np.clip(opposite - corner, 0, None).prod(-1)
    areas = (a[:, 2:4] - a[:, :2]).prod(-1)[:, None] + (b[:, 2:4] - b[:, :2]).prod(-1)[None]
    union = areas - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def map50() -> MeanAveragePrecision:
    return MeanAveragePrecision(0.5)


def map75() -> MeanAveragePrecision:
    return MeanAveragePrecision(0.75)
