"""One line of the journal per pass: what changed, what did not and why, and how far the numbers moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.compiler.pass_base import Note
from edgewright.core.model import Model, OnnxModel, TorchSource


@dataclass(frozen=True)
class ModelCounts:
    """How large a model is; None where nobody counted, as for the nodes of a torch module, which has no graph yet."""

    parameters: int | None = None
    size_bytes: int | None = None
    nodes: int | None = None
    """Nodes of the graph, of its subgraphs and of its local functions."""

    @classmethod
    def of(cls, model: Model) -> ModelCounts:
        """The counts of ``model``."""
        if isinstance(model, TorchSource):
            return cls(model.parameters, model.size_bytes)
        if not isinstance(model, OnnxModel):
            return cls()
        nodes = sum(1 for _ in model.ir.graph.all_nodes())
        nodes += sum(1 for function in model.ir.functions.values() for _ in function.all_nodes())
        return cls(model.parameters, model.size_bytes, nodes)

    def to_json(self) -> dict[str, object]:
        """The counts by name."""
        return {"parameters": self.parameters, "size_bytes": self.size_bytes, "nodes": self.nodes}


@dataclass(frozen=True)
class JournalEntry:
    """What one pass did. Holds no times (those are in the record), so that two compiles write the same journal."""

    pass_name: str
    options: Mapping[str, object]
    """As in the manifest: plain JSON values."""
    effect: str
    stage: str
    changed: int
    """Rewrites made; those of a rejected pass are counted too, though they were undone."""
    notes: tuple[Note, ...]
    before: ModelCounts
    after: ModelCounts
    error: float | None = None
    """Largest ``max|after - before| / max(1, max|before|)`` over all outputs and samples; None when not measured."""
    error_reason: str = ""
    """Why ``error`` is None, or which passes it covers beside this one."""
    drop: float | None = None
    """The metric's drop against the original, where the pipeline was asked to evaluate it."""
    rejected: str = ""
    """Why the model before this pass was kept; empty when the pass stands."""
    worst_layer: str = ""
    """For a rejected pass: the first intermediate tensor that differs, and by how much."""
    figures: Mapping[str, object] = field(default_factory=dict)
    """What a pass that trains or prunes counted; empty for most."""
    timings: Mapping[str, object] = field(default_factory=dict)
    """For the record alone: not among what ``journal.json`` holds."""

    def to_json(self) -> dict[str, object]:
        """The entry as ``journal.json`` holds it; figures are rounded to four digits."""
        return {
            "pass": self.pass_name,
            "options": dict(self.options),
            "effect": self.effect,
            "stage": self.stage,
            "changed": self.changed,
            "notes": [{"kind": note.kind, "subject": note.subject, "text": note.text} for note in self.notes],
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "error": _rounded(self.error),
            "error_reason": self.error_reason,
            "drop": _rounded(self.drop),
            "rejected": self.rejected,
            "worst_layer": self.worst_layer,
            **({"figures": dict(self.figures)} if self.figures else {}),
        }


def _rounded(figure: float | None) -> float | str | None:
    """Four significant digits; JSON has no infinity, so that becomes a word."""
    if figure is None or figure == 0:
        return figure
    return float(f"{figure:.4g}") if abs(figure) < float("inf") else "infinite"
