"""What a data set is."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgewright.core.tensors import Array, Feeds


@dataclass(frozen=True)
class Sample:
    """One inference: feeds that fit the model's inputs, and what is known to be right (None without labels)."""

    feeds: Feeds
    label: Array | None = None


class DataSet(ABC):
    """Samples that can be walked as often as wanted; reading one never holds the others in memory."""

    name: str
    """A word for reports: the file's name, never a path."""
    labelled: bool
    warnings: tuple[str, ...] = ()
    """What the user should know of this data before trusting a figure made with it."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, index: int) -> Sample:
        """The sample at ``index`` (0 <= index < len)."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 in hex of the samples' content."""

    @property
    def groups(self) -> Sequence[str] | None:
        """The source of each sample (photo, speaker): a split keeps a source on one side. None if unknown."""
        return None

    @property
    def fingerprints(self) -> Sequence[bytes] | None:
        """A hash of each sample's feeds: equal ones are the same sample given twice. None if unknown."""
        return None

    def __iter__(self) -> Iterator[Feeds]:
        return (self.read(index).feeds for index in range(len(self)))

    def samples(self) -> Iterator[Sample]:
        """Feeds with labels, in order."""
        return (self.read(index) for index in range(len(self)))


class Subset(DataSet):
    """Some samples of another set, by index."""

    def __init__(self, parent: DataSet, indices: Sequence[int], name: str) -> None:
        self.parent, self.indices = parent, tuple(indices)
        self.name, self.labelled = name, parent.labelled

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> Sample:
        """The parent's sample that stands at ``index`` here."""
        return self.parent.read(self.indices[index])

    @cached_property
    def digest(self) -> str:
        """Covers the parent's content and which of it is here."""
        return hashlib.sha256(f"{self.parent.digest}:{self.indices}".encode()).hexdigest()

    @property
    def groups(self) -> Sequence[str] | None:
        """The parent's groups of these samples."""
        groups = self.parent.groups
        return None if groups is None else [groups[index] for index in self.indices]

    @property
    def fingerprints(self) -> Sequence[bytes] | None:
        """The parent's fingerprints of these samples."""
        prints = self.parent.fingerprints
        return None if prints is None else [prints[index] for index in self.indices]
