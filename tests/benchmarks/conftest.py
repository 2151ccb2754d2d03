"""What the tests of this floor share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import pytest

from edgewright.core.data import DataSet, Sample


class Listed(DataSet):
    """A data set held in memory."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples, self.name = list(samples), "listed"
        self.labelled = all(sample.label is not None for sample in samples)

    def __len__(self) -> int:
        return len(self._samples)

    def read(self, index: int) -> Sample:
        return self._samples[index]

    @property
    def digest(self) -> str:
        parts = [array.tobytes() for sample in self._samples for array in sample.feeds.values()]
        return hashlib.sha256(b"".join(parts)).hexdigest()


@pytest.fixture(scope="session")
def listed() -> Callable[[Sequence[Sample]], DataSet]:
    return Listed
