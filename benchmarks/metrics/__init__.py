"""Accuracy metrics. One file here, one metric; modules with a leading underscore are what metrics are made of."""

from __future__ import annotations

from edgewright.benchmarks.metrics._base import Metric, registry

__all__ = ["Metric", "registry"]
