"""Precision: the share of what was predicted as a class that is of it."""

from __future__ import annotations

from edgewright.benchmarks.metrics._sklearn import PerClassMetric


class Precision(PerClassMetric):
    """0 to 1; of class 1 where there are two classes, else the unweighted mean over the classes that occur."""

    name = "precision"

    def pick(self, precision: float, recall: float, f1: float) -> float:
        """Precision."""
        del recall, f1
        return precision
