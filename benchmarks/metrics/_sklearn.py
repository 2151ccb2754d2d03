"""Metrics that libraries of the extra ``metrics`` compute, over predictions collected here."""

from __future__ import annotations

import importlib
from abc import abstractmethod
from types import ModuleType

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric, seen
from edgewright.benchmarks.metrics._classes import NO_CLASS, class_labels, predicted
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Array, Outputs


def need(module: str, metric: str) -> ModuleType:
    """The imported ``module``.

    Raises:
        UnavailableError: when it is not installed, with the command that mends it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"sklearn": "scikit-learn"}.get(module.partition(".")[0], module.partition(".")[0])
        raise UnavailableError(
            f"metric {metric} needs {package}, which is not installed", 'Run: pip install "edgewright[metrics]"'
        ) from error


class PerClassMetric(Metric):
    """Of class 1 where there are two classes, else the unweighted mean over the classes that occur."""

    def __init__(self) -> None:
        self._library = need("sklearn.metrics", self.name)
        self._predicted: list[npt.NDArray[np.int64]] = []
        self._labels: list[npt.NDArray[np.int64]] = []
        self._count: int | None = None

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs and its label; sixteen bytes are kept of each position."""
        classes = predicted(outputs)
        batch, positions = classes.index.shape
        self._labels.append(class_labels(expected, (batch, positions), classes.count).reshape(-1))
        self._predicted.append(classes.index.reshape(-1))
        self._count = classes.count

    def compute(self) -> float:
        """0 to 1; a class that is never predicted has precision 0."""
        seen(len(self._labels), self.name)
        labels, found = np.concatenate(self._labels), np.concatenate(self._predicted)
        occurring = np.setdiff1d(np.union1d(labels, found), [NO_CLASS])
        two = self._count == 2 or (self._count is None and set(occurring.tolist()) <= {0, 1})
        precision, recall, f1, _ = self._library.precision_recall_fscore_support(
            labels, found, labels=[1] if two else occurring, average="macro", zero_division=0
        )
        return float(self.pick(precision, recall, f1))

    @abstractmethod
    def pick(self, precision: float, recall: float, f1: float) -> float:
        """The one of the three that this metric is."""
