"""What became of a model pass by pass: schema ``edgewright.trace/1``, in the file of records under ``traces``.

Made by ``compile --trace`` and shown by ``report``. Sizes are bytes, times nanoseconds of the full protocol (fresh
processes), accuracies in the metric's own unit on the samples that prove. A figure that was not measured is None, and
``notes`` say why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from edgewright.benchmarks.record import append_to

SCHEMA = "edgewright.trace/1"
StepKind = Literal["original", "pass", "engine"]


@dataclass(frozen=True)
class TraceStep:
    """The model as it was after one pass that changed it, lowered and run as the final one is."""

    name: str
    """The pass, or what the model was at the beginning and the end."""
    kind: StepKind
    size_bytes: int | None
    """Of the engine's files."""
    accuracy: float | None
    p50_ns: float | None
    p50_ci95: tuple[float, float] | None = None
    note: str = ""
    """Why a figure is missing."""


@dataclass(frozen=True)
class LayerTrace:
    """One layer of the compiled model."""

    name: str
    op: str
    precision: str
    """As written in the model: ``int8``, ``float32``, ..."""
    error: float | None
    """``max|compiled - float| / max(1, max|float|)`` of its output, accumulated from the input on; over all samples."""
    time_ns: float | None
    """Median time by the engine's own profile; a layer fused into another has none."""
    reason: str = ""
    """Why it stayed float, or has no figure."""


@dataclass(frozen=True)
class ClassDelta:
    """One class's share of right answers, before and after."""

    label: str
    n: int
    reference: float
    value: float


@dataclass(frozen=True)
class Flips:
    """Samples on which the compiled model answers otherwise than the original."""

    n: int
    """Samples compared."""
    lost: int
    """Right before, wrong after."""
    gained: int
    """Wrong before, right after."""
    changed: int
    """Another answer, wrong both times; or, without labels, simply another answer."""
    lost_samples: tuple[int, ...] = ()
    """Places of the first of them in the data, for a look at what they are."""


@dataclass(frozen=True)
class Trace:
    """All of it, for one bundle on one machine."""

    bundle_sha256: str
    model: str
    target: str
    precision: str
    metric: str
    """Empty without data."""
    higher_is_better: bool
    machine_identity: str
    steps: tuple[TraceStep, ...]
    layers: tuple[LayerTrace, ...]
    classes: tuple[ClassDelta, ...]
    flips: Flips | None
    notes: tuple[str, ...] = ()
    created: str | None = None
    """UTC."""
    schema: str = SCHEMA

    def to_json(self) -> Mapping[str, object]:
        """The JSON object of the schema."""
        return asdict(self)


def append_trace(path: Path, trace: Trace) -> None:
    """Adds ``trace`` to the file of records at ``path``, which is made when absent.

    Raises:
        BadInputError, CannotWriteError, IOFailureError: as :func:`edgewright.benchmarks.record.append_record`.
    """
    append_to(path, "traces", trace.to_json())
