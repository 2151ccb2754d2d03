"""How far a stream of probabilities moved from the original's. Loadable by path: it imports no sibling."""

from __future__ import annotations

from typing import Literal

import numpy as np


class ProbabilityDrift:
    """Mean absolute difference of the output `output`, a probability; lower is better, 0 is equality."""

    name = "probability_drift"
    higher_is_better = False
    compares_to: Literal["original"] = "original"

    def __init__(self) -> None:
        self._drifts: list[float] = []

    def update(self, outputs: dict[str, np.ndarray], expected: np.ndarray | dict[str, np.ndarray]) -> None:
        assert isinstance(expected, dict)
        difference = np.abs(outputs["output"].astype(np.float64) - expected["output"])
        self._drifts.append(float(np.nan_to_num(difference, nan=1.0).mean()))

    def compute(self) -> float:
        return float(np.mean(self._drifts))

    def per_sample(self) -> np.ndarray | None:
        return np.asarray(self._drifts)


def probability_drift() -> ProbabilityDrift:
    return ProbabilityDrift()
