"""What a gate found: one finding per metric and subject, and what became of it all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from edgewright.benchmarks.record import Verdict
from edgewright.core.errors import ExitCode

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


@dataclass(frozen=True)
class GateReport:
    """Everything one gate found."""

    findings: tuple[Finding, ...]
    failures: tuple[Failure, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of all: a regression outranks what nobody can tell, which outranks a pass."""
        found = {one.verdict for one in self.findings}
        if "regressed" in found:
            return "regressed"
        return "inconclusive" if "inconclusive" in found or not self.findings else "pass"

    @property
    def exit_code(self) -> ExitCode:
        """A failure's code (that of an absent target only where nothing was judged), else 1, 75 or 0."""
        serious = [one.exit_code for one in self.failures if one.exit_code != ExitCode.TARGET_ABSENT]
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
            "exit_code": int(self.exit_code),
            "findings": [{**vars(one), "figures": dict(one.figures)} for one in self.findings],
            "failures": [{**vars(one), "exit_code": int(one.exit_code)} for one in self.failures],
            "notes": list(self.notes),
        }
