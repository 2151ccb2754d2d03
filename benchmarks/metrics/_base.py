"""The contract of every metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgewright.core.errors import BadInputError
from edgewright.core.registry import Registry
from edgewright.core.tensors import Array, Outputs


class Metric(ABC):
    """Accumulates over samples in bounded memory. A user's own needs the same attributes, not this base class."""

    name: str
    higher_is_better: bool = True
    compares_to: Literal["labels", "original"] = "labels"
    """What ``expected`` is: the sample's label, or the outputs of the original float model (a fidelity metric)."""

    @abstractmethod
    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs (batch axis included) and its label or the original's outputs.

        Raises:
            BadInputError: when the two cannot be compared, with the shapes or values that say why.
        """

    @abstractmethod
    def compute(self) -> float:
        """The value over everything seen so far; finite.

        Raises:
            BadInputError: when nothing was seen.
        """

    def per_sample(self) -> npt.NDArray[np.float64] | None:
        """One score per sample in the order seen, or None when the metric is not a mean of such scores."""
        return None


class MeanMetric(Metric):
    """A metric that is the mean of one score per sample; eight bytes are kept of each."""

    def __init__(self) -> None:
        self._scores: list[npt.NDArray[np.float64]] = []

    @abstractmethod
    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """The scores of one update, shape ``(samples,)``: one for each row of the batch that has a label of its own."""

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs and what they are compared with."""
        self._scores.append(self.score(outputs, expected))

    def compute(self) -> float:
        """The mean of the scores."""
        return mean(self.per_sample(), self.name)

    def per_sample(self) -> npt.NDArray[np.float64]:
        """The scores, in the order seen."""
        return np.concatenate(self._scores) if self._scores else np.empty(0)


def mean(scores: npt.NDArray[np.float64], name: str) -> float:
    """The mean of the scores.

    Raises:
        BadInputError: when there are none.
    """
    seen(len(scores), name)
    return float(np.mean(scores))


def seen(count: int, name: str) -> None:
    """Passes when the metric has seen something.

    Raises:
        BadInputError: when it has not.
    """
    if count == 0:
        raise BadInputError(f"metric {name} was given no sample", "Give data with at least one sample.")


def registry() -> Registry[Metric]:
    """All metrics: the files of ``benchmarks/metrics`` and the entry points of group ``edgewright.metrics``."""
    return Registry("metric", "edgewright.benchmarks.metrics", Metric, "edgewright.metrics")  # type: ignore[type-abstract]
