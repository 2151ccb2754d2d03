"""Raw pitch accuracy: the share of frames within 50 cents. Loadable by path: it imports no sibling."""

from __future__ import annotations

from typing import Literal

import numpy as np

# Kim et al. 2018 and its code: bin i is 20 i + 1997.38 cents above 10 Hz; the mean goes over four bins to each side.
CENTS_OF_BIN = 20 * np.arange(360) + 1997.3794084376191
NEIGHBOURS = 4
TOLERANCE_CENTS = 50


class RawPitchAccuracy:
    """Outputs `(B, 360)`; labels `(B,)` true pitch in Hz. A share in [0, 1]."""

    name = "within_50_cents"
    higher_is_better = True
    compares_to: Literal["labels"] = "labels"

    def __init__(self) -> None:
        self._shares: list[float] = []

    def update(self, outputs: dict[str, np.ndarray], expected: np.ndarray | dict[str, np.ndarray]) -> None:
        assert not isinstance(expected, dict)
        cents = pitch_cents(next(iter(outputs.values())))
        truth = 1200 * np.log2(np.asarray(expected, np.float64).reshape(-1) / 10)
        self._shares.append(float((np.abs(cents - truth) <= TOLERANCE_CENTS).mean()))

    def compute(self) -> float:
        return float(np.mean(self._shares))

    def per_sample(self) -> np.ndarray | None:
        """The share within each feed."""
        return np.asarray(self._shares)


def pitch_cents(likelihoods: np.ndarray) -> np.ndarray:
    """`(B, 360)` -> `(B,)` cents above 10 Hz."""
    bins = np.arange(len(CENTS_OF_BIN))
    near = np.abs(bins - likelihoods.argmax(-1)[:, None]) <= NEIGHBOURS
    weights = np.where(near, likelihoods.astype(np.float64), 0)
    return np.asarray((weights * CENTS_OF_BIN).sum(-1) / np.maximum(weights.sum(-1), 1e-12))


def within_50_cents() -> RawPitchAccuracy:
    return RawPitchAccuracy()
