"""Edgewright compiles a trained model to the fastest artifact that is proven, on data, to keep its accuracy."""

from __future__ import annotations

__version__ = "0.1.0"
