from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgewright.benchmarks.gate.findings import Finding
from edgewright.benchmarks.gate.found import Found
from edgewright.benchmarks.gate.opened import Opened
from edgewright.benchmarks.record import Record, Verdict, VoidedRun
from edgewright.core.errors import ExitCode

MakeRecord = Callable[..., Record]
MakeOpened = Callable[..., Opened]


def size(verdict: Verdict) -> Finding:
    return Finding("net", "size", verdict, "", {})


@pytest.fixture
def record(record_of: MakeRecord) -> Record:
    return record_of([[1000] * 64] * 3)


@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("findings", [[], [size("pass")]])
def test_a_failed_audit_never_passes(
    opened_of: MakeOpened, record: Record, findings: list[Finding], saving: bool
) -> None:
    """Neither where only the size was asked for, nor where it was only to be saved."""
    found, one = Found(saving), opened_of(max_bytes=10)
    found.take(one, replace(record, status="invalid"), findings, [])
    found.keep(one.gate, replace(record, status="invalid"), None, None, "a")
    assert found.report.exit_code == ExitCode.RETRYABLE
    assert "an audit failed" in found.findings[-1].text
    assert found.entries == []


def test_a_failed_audit_is_said_once(opened_of: MakeOpened, record: Record) -> None:
    """A finding on latency says it already."""
    found = Found()
    told = Finding("net", "latency-limit", "inconclusive", "an audit failed", {})
    found.take(opened_of(), replace(record, status="invalid"), [told], [])
    assert found.findings == [replace(told, gate="door")]


def test_what_is_held_against_nothing_is_no_pass_but_may_be_saved(opened_of: MakeOpened, record: Record) -> None:
    found = Found()
    found.take(opened_of(first=True), record, [], [])
    found.take(opened_of(), record, [size("pass")], [])
    assert [one.verdict for one in found.findings] == ["inconclusive", "pass"]
    assert "held against nothing" in found.findings[0].text
    saving = Found(saving=True)
    saving.take(opened_of(first=True), record, [], [])
    assert saving.findings == []


def test_disturbed_runs_are_counted(
    opened_of: MakeOpened, record: Record, compared_record: Callable[[Verdict], Record]
) -> None:
    """Of pairs by pairs: both runs of one are void together, however often, and the kept third attempt counts too."""
    assert not any("disturbed" in line for line in notes(opened_of(), record))
    runs = (replace(record.runs[0], flags=("disturbed", "drift")), *record.runs[1:])
    voided = (VoidedRun(1, "x"), VoidedRun(1, "x"), VoidedRun(2, "x"))
    one = "door: 1 of 3 runs disturbed or drifting, 2 runs made again"
    assert one in notes(opened_of(), replace(record, runs=runs, voided=voided))
    pairs = replace(compared_record("pass"), voided=(VoidedRun(2, "x"), VoidedRun(3, "x"), VoidedRun(2, "x (kept)")))
    assert "door: 0 of 4 runs disturbed or drifting, 1 pair made again" in notes(opened_of(), pairs)


def notes(one: Opened, record: Record) -> tuple[str, ...]:
    found = Found()
    found.take(one, record, [], [])
    return found.report.notes
