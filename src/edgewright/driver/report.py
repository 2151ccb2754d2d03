"""What a compile tells: one entry per target, as values that the command line prints and ``--json`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.bundle.manifest import Accuracy
from edgewright.core.errors import ExitCode


@dataclass(frozen=True)
class TargetReport:
    """How one target ended."""

    target: str
    exit_code: ExitCode
    bundle: Path | None = None
    digest: str | None = None
    precision: str | None = None
    candidate: str | None = None
    size_bytes: int | None = None
    original_bytes: int | None = None
    accuracy: Accuracy | None = None
    problem: str = ""
    remedy: str = ""
    notes: tuple[str, ...] = ()
    recipe_digest: str | None = None
    plan_digest: str | None = None
    search: Mapping[str, object] | None = None
    """What a search among candidates looked at, ``edgewright.search/1``; None where nothing was searched."""
    from_cache: str | None = None
    """When what is taken from the cache was compiled and measured, UTC; None for what was done now."""

    def to_json(self) -> dict[str, object]:
        """One object of the ``targets`` list of ``--json``."""
        accuracy = self.accuracy
        return {
            "target": self.target,
            **self.exit_code.to_json(),
            "bundle": None if self.bundle is None else str(self.bundle),
            "digest": self.digest,
            "precision": self.precision,
            "candidate": self.candidate,
            "size_bytes": self.size_bytes,
            "original_bytes": self.original_bytes,
            "accuracy": None if accuracy is None else vars(accuracy),
            "problem": self.problem or None,
            "remedy": self.remedy or None,
            "notes": list(self.notes),
            "recipe_digest": self.recipe_digest,
            "plan_digest": self.plan_digest,
            "search": None if self.search is None else dict(self.search),
            "from_cache": self.from_cache,
        }


@dataclass(frozen=True)
class CompileReport:
    """How all targets ended. The exit code is the worst of theirs."""

    model: str
    targets: tuple[TargetReport, ...]
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """The largest code of any target: a bug outranks a bad input, which outranks a missed limit."""
        return max((one.exit_code for one in self.targets), default=ExitCode.OK)

    def to_json(self) -> dict[str, object]:
        """The one document of ``--json``."""
        return {
            "schema": "edgewright.compile/1",
            "model": self.model,
            "notes": list(self.notes),
            "targets": [one.to_json() for one in self.targets],
            **self.exit_code.to_json(),
        }
