"""Rank correlation of embedding similarity with what people said. Loadable by path: it imports no sibling."""

from __future__ import annotations

from typing import Literal

import numpy as np


class SpearmanOfPairs:
    """Outputs `(2, width)`, a pair of embeddings; label: the human score of the pair. Spearman's rho in [-1, 1]."""

    name = "spearman"
    higher_is_better = True
    compares_to: Literal["labels"] = "labels"

    def __init__(self) -> None:
        self._cosines: list[float] = []
        self._human: list[float] = []

    def update(self, outputs: dict[str, np.ndarray], expected: np.ndarray | dict[str, np.ndarray]) -> None:
        assert not isinstance(expected, dict)
        first, second = next(iter(outputs.values())).astype(np.float64)
        cosine = float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))
        self._cosines.append(cosine if np.isfinite(cosine) else 0.0)
        self._human.append(float(np.asarray(expected).reshape(())))

    def compute(self) -> float:
        """Pearson's r of the ranks; 0 where all similarities are equal, which is where a broken model ends."""
        a, b = ranks(np.array(self._cosines)), ranks(np.array(self._human))
        return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0

    def per_sample(self) -> np.ndarray | None:
        """None: a rank belongs to the whole list."""
        return None


def ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse])


def spearman() -> SpearmanOfPairs:
    return SpearmanOfPairs()
