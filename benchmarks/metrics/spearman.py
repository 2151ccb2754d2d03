"""Spearman's rank correlation between one score per sample and its label."""

from __future__ import annotations

import numpy as np

from edgewright.benchmarks.metrics._base import Metric
from edgewright.benchmarks.metrics._classes import first_output
from edgewright.benchmarks.metrics._regression import prediction_and_label
from edgewright.benchmarks.metrics._sklearn import need
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.tensors import Array, Outputs


class Spearman(Metric):
    """-1 to 1; the first output holds one number per sample (a decode function makes one of two embeddings)."""

    name = "spearman"

    def __init__(self) -> None:
        self._library = need("scipy.stats", self.name)
        self._scores: list[float] = []
        self._labels: list[float] = []

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's score and its label."""
        name, array = first_output(outputs)
        if array.size != np.asarray(expected).size:
            raise UsageError(
                f"output '{name}' has shape {array.shape}: spearman takes one score per label",
                "Name a decode function that returns one number.",
            )
        ours, theirs = prediction_and_label({name: array.reshape(-1)}, np.asarray(expected).reshape(-1))
        self._scores += [float(value) for value in ours]
        self._labels += [float(value) for value in theirs]

    def compute(self) -> float:
        """The correlation of ranks; 0 when the model gives every sample the same score, or one that is not finite."""
        if len(set(self._labels)) < 2:
            raise BadInputError(
                f"spearman needs two different labels, there are {len(set(self._labels))}", "Give more."
            )
        if not np.isfinite(self._scores).all() or len(set(self._scores)) < 2:
            return 0.0
        return float(self._library.spearmanr(self._scores, self._labels).statistic)
