"""F1: the harmonic mean of precision and recall."""

from __future__ import annotations

from edgewright.benchmarks.metrics._sklearn import PerClassMetric


class F1(PerClassMetric):
    """0 to 1; of class 1 where there are two classes, else the unweighted mean over the classes that occur."""

    name = "f1"

    def pick(self, precision: float, recall: float, f1: float) -> float:
        """F1."""
        del precision, recall
        return f1
