"""Data sets: streamed samples with optional labels, from ``.npz`` files, folders, or a user's factory."""

from __future__ import annotations

from edgewright.core.data.dataset import DataSet, Sample, open_data, split

__all__ = ["DataSet", "Sample", "open_data", "split"]
