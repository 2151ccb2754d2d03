"""All a pass may know of the world. What it does not need stays unasked; what is absent says why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from edgewright.core.budget import Budget
from edgewright.core.data import Sample
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
Measure: TypeAlias = Callable[[Sequence[OnnxModel]], list[Mapping[str, float]]]
"""Search-grade median latency in milliseconds of candidates, timed against each other in one session: for each the
time on every target of the compile, by the target's name, in the precision it will be shipped in. A candidate that the
target cannot take or that fails has no entry for it."""
Evaluate: TypeAlias = Callable[[OnnxModel], float]
"""The metric's drop against the original on the selection set; larger is worse, whatever the metric's direction."""


class TrainingSamples(Samples, Protocol):
    """Samples with an index; ``read(i).label`` is what is known to be right, None without labels."""

    labelled: bool
    name: str

    def read(self, index: int) -> Sample:
        """The sample at ``index``."""
        ...


@dataclass(frozen=True)
class Selection:
    """How answers are judged while something is trained: on the selection set, by the user's metric."""

    samples: TrainingSamples
    drop: Callable[[Iterable[Outputs]], float]
    """The metric's drop against the original, of answers to ``samples`` in their order; larger is worse."""
    metric: str


@dataclass(frozen=True)
class Goal:
    """What pruning aims at; None is no wish. At most one of the four is set by a user, a latency limit wins.

    ``latency_ratio`` is of the original in float32 on the same target.
    """

    latency_ms: float | None = None
    latency_ratio: float | None = None
    max_bytes: int | None = None
    """Bytes of all parameters in float32."""
    ratio: float | None = None
    """Share of the multiplications to be taken away, 0 to 1."""
    limits_ms: Mapping[str, float] = field(default_factory=dict)
    """For a goal in latency, what ``Measure``'s times must come down to, by its names: the ratio, where that is what
    was asked for, of each target's own float32 time. Empty where nothing can be timed, and for a goal that only the
    pass's own options state."""
    float32_ms: Mapping[str, float] = field(default_factory=dict)
    """What the original takes in float32, by ``Measure``'s names, for goals in latency that a pass's options state."""


@dataclass(frozen=True)
class Training:
    """What stages that train are given beside the site; absent parts say why."""

    train: TrainingSamples | Absent
    """``--train-data``; where it is absent the calibration samples serve, augmented."""
    select: Selection | Absent
    goal: Goal
    keep: tuple[str, ...]
    """Glob patterns of modules that must not lose channels."""
    checkpoints: Path
    """A folder that outlives the process; each stage has one of its own in it, by a digest of all that goes in."""
    resume: bool
    """Go on from a checkpoint of the very same inputs, where there is one."""
    threads: int
    exclude: frozenset[bytes] = frozenset()
    """Fingerprints of samples that judge: none of them may be trained on."""


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
    training: Training | Absent = field(default_factory=lambda: Absent("nothing is trained"))
    memo: MutableMapping[str, object] = field(default_factory=dict)
    """What passes of one compile share, keyed by a digest of what it was computed from (calibration ranges)."""
