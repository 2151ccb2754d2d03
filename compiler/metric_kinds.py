"""What a metric's name says of a model's outputs."""

from __future__ import annotations

CLASSIFYING = frozenset({"agreement", "top1", "top5", "f1", "precision", "recall", "auc"})
"""Metrics that say the outputs are scores of classes."""
