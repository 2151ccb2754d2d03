"""What a search for the guilty found: passes, layers, and the piece that was written."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from edgewright.core.errors import ExitCode


@dataclass(frozen=True)
class PassRow:
    """One step on the way from the original to what is shipped; None is a figure that was not measured."""

    name: str
    effect: str
    """``original``, ``exact``, ``lossy``, ``needs-recovery``, ``engine`` or ``bundle``."""
    value: float | None = None
    """The metric after it."""
    loss: float | None = None
    """How much worse that is than before it, in the metric's unit."""
    chance: float | None = None
    """Twice the standard error of ``loss`` over the samples; None for a metric that is no mean of samples' scores."""
    moved: float | None = None
    """How far its answers are from those before it: ``|after - before| / |before|``, norms over all samples, of the
    output that moves most."""
    away: float | None = None
    """The same, from the original's answers."""
    largest: float | None = None
    """The largest ``max|after - before| / max(1, max|before|)`` of a sample: what ``tolerance`` limits."""
    tolerance: float | None = None
    """What the pass allows itself; None where the metric is the judge."""
    failed: str = ""
    """Why a compile rejects it: the steps behind it start from the model before it."""
    check: str = ""
    """``good`` or ``fails``, where a check was given and asked."""
    note: str = ""


@dataclass(frozen=True)
class LayerRow:
    """One layer of the model behind the pass to blame, and its errors, as ``PassRow.moved`` over its own tensor."""

    name: str
    op: str
    precision: str
    alone: float | None
    """When it is fed with what the float model has there."""
    effect: float | None
    """How far that alone moves the model's outputs; measured for the layers that are worst by ``alone``."""
    accumulated: float | None
    """As the compiled model runs, with what the layers before it did."""
    including: tuple[str, ...] = ()
    """Layers whose error is in these figures too: the float model has no tensor between them."""
    note: str = ""


@dataclass(frozen=True)
class Guilty:
    """Who is blamed, and by which figure."""

    name: str
    because: str


@dataclass(frozen=True)
class Reproducer:
    """The smallest piece that was found to fail."""

    folder: str
    nodes: tuple[str, ...]
    """In the order of execution, each with its operator."""
    of: int
    """How many nodes the whole has."""
    judged: int
    """How many pieces were judged."""
    minimal: bool
    """Whether no node can be left out of it; False where the search was ended early."""


@dataclass(frozen=True)
class BlameReport:
    """Everything found. ``failed`` says what does fail; empty where nothing does and figures alone are shown."""

    model: str
    target: str
    precision: str
    metric: str
    samples: int
    """What errors are over."""
    proof_samples: int
    """What the metric is over."""
    passes: tuple[PassRow, ...]
    guilty_pass: Guilty | None
    layers: tuple[LayerRow, ...]
    """Of the pass to blame, the most harmful first."""
    guilty_layer: Guilty | None
    failed: str
    reproducer: Reproducer | None
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """1 where a pass is beyond what it allows itself, or the check fails."""
        return ExitCode.LIMIT_MISSED if self.failed else ExitCode.OK

    def to_json(self) -> dict[str, object]:
        """The document of ``--json``; infinity is a word there."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return {"schema": "edgewright.blame/1", **plain, **self.exit_code.to_json()}


def _plain(value: object) -> object:
    """Four significant digits; JSON has no infinity, so that becomes a word."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else "infinite"
    return value
