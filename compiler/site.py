"""All a pass may know of the world. What it does not need stays unasked; what is absent says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from edgewright.core.budget import Budget
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import Target


class Samples(Protocol):
    """Real inputs, streamed: iterating again starts over. ``len`` is known; nothing is held in memory."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Feeds]: ...
    @property
    def digest(self) -> str:
        """SHA-256 in hex of the content."""
        ...


@dataclass(frozen=True)
class Absent:
    """Stands where a function or data set would be and says why it is not there."""

    reason: str


Run: TypeAlias = Callable[[OnnxModel, Iterable[Feeds]], Iterator[Outputs]]
"""Runs a model on a reference engine in float, one feed at a time, in a child process with a deadline."""
Measure: TypeAlias = Callable[[OnnxModel], float]
"""Search-grade median latency in milliseconds of a candidate on its target."""
Evaluate: TypeAlias = Callable[[OnnxModel], float]
"""The metric's drop against the original on the selection set; larger is worse, whatever the metric's direction."""


@dataclass(frozen=True)
class Site:
    """What surrounds one run of a pipeline."""

    target: Target
    original: OnnxModel
    samples: Samples | Absent
    """The calibration set, and nothing else: selection and proof happen outside of the passes."""
    run: Run | Absent
    measure: Measure | Absent
    evaluate: Evaluate | Absent
    budget: Budget
    seed: int
    workdir: Path
    progress: Callable[[str, float], None] = lambda _what, _share: None
    log: Callable[[str], None] = lambda _line: None
    memo: MutableMapping[str, object] = field(default_factory=dict)
    """What passes of one compile share, keyed by a digest of what it was computed from (calibration ranges)."""
