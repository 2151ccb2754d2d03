"""What a gate found: one finding per metric and subject, and what became of it all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgewright.benchmarks.record import Verdict
from edgewright.core.errors import (
    BadInputError,
    EdgewrightError,
    EngineError,
    ExitCode,
    TargetAbsentError,
    UsageError,
)

SCHEMA = "edgewright.gate/1"
Metric = Literal["latency", "latency-limit", "accuracy", "size", "memory"]
Figure = float | int | str | None


@dataclass(frozen=True)
class Finding:
    """One metric of one subject, held against its baseline or limit."""

    subject: str
    """``model target precision``; foreign text, not escaped."""
    metric: Metric
    verdict: Verdict
    text: str
    """One line: the figures, and what was allowed."""
    figures: Mapping[str, Figure]
    """What ``text`` says, by name, for programs."""
    remedy: str = ""
    """For a verdict that is no pass: the next thing to do, such as how many samples would tell."""
    gate: str = ""
    """The gate's name where it has one; foreign text, not escaped."""

    @property
    def title(self) -> str:
        """Gate and subject in one line; foreign text, not escaped."""
        return _title(self.gate, self.subject)


@dataclass(frozen=True)
class Failure:
    """A subject that could not be judged: its engine crashed, hung, ran out of memory, or is not for this machine."""

    subject: str
    kind: str
    """Of an engine: ``crashed``, ``timeout``, ``memory`` or ``raised``; else ``absent``, ``bad-input`` or
    ``unavailable``."""
    problem: str
    remedy: str
    exit_code: ExitCode
    gate: str = ""
    """The gate's name where it has one; foreign text, not escaped."""

    @classmethod
    def of(cls, subject: str, error: EdgewrightError, gate: str = "") -> Failure:
        """The failure that ``error`` makes of judging ``subject``."""
        if isinstance(error, EngineError):
            kind = error.kind
        elif isinstance(error, TargetAbsentError):
            kind = "absent"
        else:
            kind = "bad-input" if isinstance(error, BadInputError | UsageError) else "unavailable"
        return cls(subject, kind, error.problem, error.remedy, error.exit_code, gate)

    @property
    def title(self) -> str:
        """Gate and subject in one line; foreign text, not escaped."""
        return _title(self.gate, self.subject)

    @property
    def skipped(self) -> bool:
        """True where nothing is wrong but that the target is not here."""
        return self.exit_code == ExitCode.TARGET_ABSENT


@dataclass(frozen=True)
class GateReport:
    """Everything one gate found."""

    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()
    only_saved: bool = False
    """True where nothing was to be judged: a baseline was saved, and that is a success."""

    @property
    def verdict(self) -> Verdict:
        """The worst of all: a regression outranks what nobody can tell, which outranks a pass.

        A subject that failed is one of which nobody can tell.
        """
        found = {one.verdict for one in self.findings}
        if "regressed" in found:
            return "regressed"
        failed = any(not one.skipped for one in self.failures)
        return "inconclusive" if failed or "inconclusive" in found or not (found or self.only_saved) else "pass"

    @property
    def exit_code(self) -> ExitCode:
        """A failure's code (that of an absent target only where nothing was judged), else 1, 75 or 0."""
        serious = [one.exit_code for one in self.failures if not one.skipped]
        if serious:
            return max(serious)
        if not self.findings and self.failures:
            return ExitCode.TARGET_ABSENT
        codes = {"pass": ExitCode.OK, "regressed": ExitCode.LIMIT_MISSED, "inconclusive": ExitCode.RETRYABLE}
        return codes[self.verdict]

    def to_json(self) -> dict[str, object]:
        """The one document of ``--json``."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            **self.exit_code.to_json(),
            "findings": [{**vars(one), "figures": dict(one.figures)} for one in self.findings],
            "failures": [{**vars(one), "exit_code": int(one.exit_code)} for one in self.failures],
            "notes": list(self.notes),
        }


def _title(gate: str, subject: str) -> str:
    return f"{gate} ({subject})" if gate and gate != subject else subject
