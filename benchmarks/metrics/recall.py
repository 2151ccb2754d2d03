"""Recall: the share of what is of a class that was predicted as it."""

from __future__ import annotations

from edgewright.benchmarks.metrics._sklearn import PerClassMetric


class Recall(PerClassMetric):
    """0 to 1; of class 1 where there are two classes, else the unweighted mean over the classes that occur."""

    name = "recall"

    def pick(self, precision: float, recall: float, f1: float) -> float:
        """Recall."""
        del precision, f1
        return recall
