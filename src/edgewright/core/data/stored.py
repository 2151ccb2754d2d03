"""A data set over arrays with samples along their first axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgewright.core.data.checking import check_samples
from edgewright.core.data.cutting import Cut
from edgewright.core.data.dataset import DataSet, Sample
from edgewright.core.data.rows import Rows
from edgewright.core.tensors import TensorSpec


class StoredDataSet(DataSet):
    """Feeds cut from arrays that may lie in files; only the slice that is read is ever in memory."""

    def __init__(
        self,
        *,
        name: str,
        specs: tuple[TensorSpec, ...],
        arrays: Mapping[str, Rows],
        cuts: Mapping[str, Cut],
        count: int,
        labels: tuple[Rows, Cut] | None = None,
        groups: Sequence[str] | None = None,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.name, self.labelled = name, labels is not None
        self._arrays, self._cuts, self._count = arrays, cuts, count
        self._labels, self._groups = labels, groups
        findings = check_samples(self, specs)
        self.warnings = (*warnings, *findings.warnings)
        self._digest, self._fingerprints = findings.digest, findings.fingerprints

    def __len__(self) -> int:
        return self._count

    def read(self, index: int) -> Sample:
        """The sample at ``index``; its arrays are copies and may be changed."""
        if not 0 <= index < self._count:
            raise IndexError(index)
        feeds = {name: np.array(cut.feed(self._arrays[name], index)) for name, cut in self._cuts.items()}
        if self._labels is None:
            return Sample(feeds)
        array, cut = self._labels
        return Sample(feeds, np.array(cut.feed(array, index)))

    @property
    def digest(self) -> str:
        """SHA-256 in hex over every sample's feeds and label."""
        return self._digest

    @property
    def groups(self) -> Sequence[str] | None:
        """The ``groups`` the data came with."""
        return self._groups

    @property
    def fingerprints(self) -> Sequence[bytes] | None:
        """A hash of each sample's feeds."""
        return self._fingerprints
