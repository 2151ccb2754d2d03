"""What the parent tells the child of one stage, and what the child says while it works; all of it travels as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.compiler.pass_base import Note

STAGES: Mapping[str, str] = {
    "prune": "edgewright.compiler.pruning.stage:prune",
    "distil": "edgewright.compiler.recovery.stage:distil",
    "qat": "edgewright.compiler.qat.stage:train",
    "export": "edgewright.compiler.torch_stage.exporting:export_stage",
}
"""Stage -> ``module:function`` that does it in the child: takes a ``StageContext``, gives a :class:`StageResult`."""


@dataclass(frozen=True)
class StageRequest:
    """Everything the child knows. Paths are absolute; they never get into a bundle."""

    stage: str
    source: Mapping[str, object]
    """The fields of a ``TorchSource``: kind, text, name, shapes, trust_pickle, state (path or null)."""
    inputs: tuple[Mapping[str, object], ...]
    outputs: tuple[Mapping[str, object], ...]
    options: Mapping[str, object]
    """Those of the pass, as its options dataclass has them."""
    target: Mapping[str, object] | None
    """``Target.to_json()``; None for an export, which is for none."""
    goal: Mapping[str, object]
    """The fields of a ``Goal``."""
    max_drop: float
    keep: tuple[str, ...]
    seed: int
    threads: int
    resume: bool
    folder: str
    """The stage's own folder: checkpoints while it works, and the state it leaves."""
    calibration: str | None
    """Folder of arrays (see ``arrays.py``)."""
    train: str | None
    select: str | None
    metric: str | None
    can_measure: bool
    can_judge: bool
    extra: Mapping[str, str] = field(default_factory=dict)
    """Further files of one stage, by a word both sides know."""


@dataclass(frozen=True)
class StageResult:
    """What a stage came to.

    ``changed`` counts what was changed; 0 means that the source stays as it was, whatever lies in the folder.
    """

    changed: int
    notes: tuple[Note, ...] = ()
    parameters: int | None = None
    size_bytes: int | None = None
    figures: Mapping[str, object] = field(default_factory=dict)
    """What the journal keeps of it, reproducible: counts of channels, epochs, losses. No times."""
    timings: Mapping[str, object] = field(default_factory=dict)
    """What only the record keeps: latencies that were measured, seconds that passed."""
