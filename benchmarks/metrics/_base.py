"""The contract of every metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from edgewright.core.registry import Registry
from edgewright.core.tensors import Array, Outputs


class Metric(ABC):
    """Accumulates over samples in bounded memory. A user's own needs the same attributes, not this base class."""

    name: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    compares_to: ClassVar[Literal["labels", "original"]] = "labels"
    """What ``expected`` is: the sample's label, or the outputs of the original float model (a fidelity metric)."""

    @abstractmethod
    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs (batch axis included) and its label or the original's outputs."""

    @abstractmethod
    def compute(self) -> float:
        """The value over everything seen so far; finite.

        Raises:
            BadInputError: when nothing was seen.
        """

    def per_sample(self) -> npt.NDArray[np.float64] | None:
        """One score per sample in the order seen, or None when the metric is not a mean of such scores."""
        return None


def registry() -> Registry[Metric]:
    """All metrics: the files of ``benchmarks/metrics`` and the entry points of group ``edgewright.metrics``."""
    return Registry("metric", "edgewright.benchmarks.metrics", Metric, "edgewright.metrics")  # type: ignore[type-abstract]
