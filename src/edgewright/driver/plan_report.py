"""The plan as a value and as the document that ``compile --plan`` takes back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

from edgewright.backends import Unsupported
from edgewright.core.errors import ExitCode
from edgewright.driver.choice import Choice
from edgewright.driver.plan_estimate import Minutes
from edgewright.driver.plan_file import SCHEMA


@dataclass(frozen=True)
class PlannedCandidate:
    """One candidate: what would run for it, what is left out and why, and what it takes."""

    choice: Choice
    passes: tuple[str, ...]
    left_out: tuple[str, ...]
    most_inferences: int
    """An upper bound of the samples run through the model for it."""
    calibrated: int = 0
    """Samples that the ranges of its activations are found on; the same for all candidates."""
    from_cache: tuple[str, ...] = ()
    """What of it, as it stands here, is in the cache."""
    minutes: Minutes | None = None

    def to_json(self) -> dict[str, object]:
        """The choice, which may be edited, then what is told of it."""
        return {
            "title": self.choice.title,
            **self.choice.to_json(),
            "passes": list(self.passes),
            "left_out": list(self.left_out),
            "most_inferences": self.most_inferences,
            "from_cache": list(self.from_cache),
            "minutes": None if self.minutes is None else self.minutes.to_json(),
        }


@dataclass(frozen=True)
class TargetPlan:
    """The plan for one target, or why there is none."""

    target: str
    output: str
    """What it competes for; targets with the same output end as one bundle."""
    presence: str = ""
    candidates: tuple[PlannedCandidate, ...] = ()
    left_out: tuple[str, ...] = ()
    """What is not among the candidates, and why."""
    refused: tuple[Unsupported, ...] = ()
    """Operators that the runtime does not take."""
    basis: str = ""
    """What the minutes are derived from."""
    problem: str = ""
    remedy: str = ""
    exit_code: ExitCode = ExitCode.OK

    def to_json(self) -> dict[str, object]:
        """Its part of the document."""
        return {
            "target": self.target,
            "output": self.output,
            "presence": self.presence,
            "candidates": [one.to_json() for one in self.candidates],
            "left_out": list(self.left_out),
            "refused": [vars(one) for one in self.refused],
            "basis": self.basis,
            "problem": self.problem or None,
            "remedy": self.remedy or None,
            "exit_code": int(self.exit_code),
        }


@dataclass(frozen=True)
class CompilePlan:
    """All plans of a request."""

    model: str
    model_digest: str
    notes: tuple[str, ...]
    targets: tuple[TargetPlan, ...]
    training: tuple[str, ...] = ()
    """What would be done to the module before it is lowered, one line a stage."""
    from_cache: Mapping[str, str] = field(default_factory=dict)
    """What is asked for -> when it was compiled and measured, where the whole of it would be taken from the cache."""
    minutes: Minutes | None = None
    """All of it, about; None where that is unknown."""
    basis: str = ""
    """What that covers, or why it is unknown."""

    @property
    def exit_code(self) -> ExitCode:
        """The worst of any output; one that some target can have is none."""
        outputs = groupby(self.targets, key=lambda one: one.output)
        codes = [[one.exit_code for one in targets] for _, targets in outputs]
        return max((ExitCode.OK if ExitCode.OK in found else max(found) for found in codes), default=ExitCode.OK)

    def to_json(self) -> dict[str, object]:
        """The document that ``--json`` prints and ``compile --plan`` takes; see ``docs/plan.md``."""
        return {
            "schema": SCHEMA,
            "model": self.model,
            "model_digest": self.model_digest,
            "notes": list(self.notes),
            "training": list(self.training),
            "from_cache": dict(self.from_cache),
            "targets": [one.to_json() for one in self.targets],
            "minutes": None if self.minutes is None else self.minutes.to_json(),
            "basis": self.basis,
            "exit_code": int(self.exit_code),
        }
