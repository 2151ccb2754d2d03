"""What a session of gates has found so far: findings, failures, notes, and what is to be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgewright.benchmarks.gate.baseline import Scores, entry_of
from edgewright.benchmarks.gate.doubts import failed_audit, held_against_nothing
from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.benchmarks.gate.limits import Gate
from edgewright.benchmarks.gate.opened import Opened
from edgewright.benchmarks.record import Record

_MOST_NAMED = 4


@dataclass(eq=False)
class Found:
    """Takes what was found of one gate after the other."""

    saving: bool = False
    """Whether baselines are made, for which it is no fault to be held against nothing."""
    failures: list[Failure] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    remarks: dict[str, list[str]] = field(default_factory=dict)
    """What was remarked, and of which gates."""
    findings: list[Finding] = field(default_factory=list)
    records: list[tuple[Path, Record]] = field(default_factory=list)
    entries: list[Mapping[str, object]] = field(default_factory=list)

    def take(self, one: Opened, record: Record, findings: Sequence[Finding], notes: Sequence[str]) -> None:
        """Adds what was found of one gate, and what it has to say that nobody judged."""
        name = one.gate.name
        self.findings += [replace(each, gate=name) for each in (*findings, *self._unshown(one, record, findings))]
        self.records.append((one.gate.bundle, record))
        for line in dict.fromkeys((*notes, *record.notes, *_remarks(one, record))):
            self.remarks.setdefault(line, []).append(name)

    def keep(self, gate: Gate, record: Record, memory: int | None, scores: Scores | None, arm: str) -> None:
        """Keeps what would be a baseline; nothing that is wrong may become the next one's measure."""
        if record.status == "invalid":
            self.notes.append(f"{gate.name}: not fit to be a baseline: an audit failed")
        elif any(one.gate == gate.name for one in self.failures):
            self.notes.append(f"{gate.name}: not fit to be a baseline: not all of it could be measured")
        elif any(one.gate == gate.name and one.verdict == "regressed" for one in self.findings):
            self.notes.append(f"{gate.name}: not fit to be a baseline: it regressed")
        else:
            self.entries.append(entry_of(gate.name, record, memory, scores, arm))

    @property
    def report(self) -> GateReport:
        """All of it."""
        remarks = [f"{_several(names)}: {line}" for line, names in self.remarks.items()]
        return GateReport(tuple(self.findings), tuple(self.failures), (*self.notes, *remarks))

    def _unshown(self, one: Opened, record: Record, findings: Sequence[Finding]) -> list[Finding]:
        """What keeps a gate from passing though nothing that was found speaks against it."""
        if record.status == "invalid":
            timed = any(each.metric in ("latency", "latency-limit") for each in findings)
            return [] if timed else [failed_audit(one.subject)]
        return [] if findings or self.saving else [held_against_nothing(one.subject)]


def _remarks(one: Opened, record: Record) -> list[str]:
    """What makes figures shaky, and what was not judged though nobody asked for it."""
    found = _disturbed(record)
    if record.status == "unsteady":
        found.append("the times never settled, so the figures are shaky")
    if record.target.host_proxy:
        found.append(f"this machine stands in for {record.target.name}: of the device itself the times say nothing")
    if one.gate.data is None:
        found.append("accuracy not judged: no data is named")
    if one.first and one.gate.limits.has_relative:
        found.append("limits on a slowdown, drop or growth not judged: there is no baseline yet")
    return found


def _disturbed(record: Record) -> list[str]:
    """How many runs carry a flag, and how many were made again; nothing where there are none."""
    flagged = sum(bool(run.flags) for run in record.runs)
    pairs = record.comparison is not None
    # A pair's runs have successive orders, and are made again together.
    again = len({one.order // 2 if pairs else one.order for one in record.voided})
    if not flagged and not again:
        return []
    unit = ("pair" if pairs else "run") + "s" * (again != 1)
    return [f"{flagged} of {len(record.runs)} runs disturbed or drifting, {again} {unit} made again"]


def _several(names: Sequence[str]) -> str:
    """What is true of many gates, such as a busy machine, is said once."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
