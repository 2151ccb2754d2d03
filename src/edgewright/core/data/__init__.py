"""Data sets: streamed samples with optional labels, from ``.npz`` files, folders, or a user's factory."""

from __future__ import annotations

from edgewright.core.data.dataset import DataSet, Sample, Subset
from edgewright.core.data.opening import open_data
from edgewright.core.data.preprocessing import Preprocessing
from edgewright.core.data.splitting import split

__all__ = ["DataSet", "Preprocessing", "Sample", "Subset", "open_data", "split"]
