"""What gates said is shown as they said it: their own verdict, every finding, and nothing decided for others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.benchmarks.report.blocks import Line, Lines, Page, Table
from edgewright.benchmarks.report.gather import gather
from edgewright.benchmarks.report.page import page_of
from edgewright.core import jsontext
from edgewright.core.errors import ExitCode

from .conftest import make_record

RecordsAt = Callable[..., Path]

SUBJECT = "net native/onnxruntime int8"
REGRESSED = Finding(SUBJECT, "size", "regressed", "9 MB; the limit is 8 MB", {"bytes": 9}, "Prune it.")
PASSED = Finding(SUBJECT, "latency", "pass", "as fast", {})
CRASHED = Failure("net native fp32", "crashed", "it aborted", "Verify it.", ExitCode.UNAVAILABLE)
ABSENT = Failure("net pi int8", "absent", "no such device here", "", ExitCode.TARGET_ABSENT)


@pytest.fixture
def paged(records_at: RecordsAt, tmp_path: Path) -> Callable[..., Page]:
    """``paged(report, ...)``: the page of these gates, with a record of a comparison that passed unless told not to."""

    def make(*reports: GateReport, with_record: bool = True) -> Page:
        paths = []
        for number, report in enumerate(reports):
            paths.append(tmp_path / f"gate{number}.json")
            paths[-1].write_bytes(jsontext.canonical(report.to_json()))
        return page_of(gather([*paths, *([records_at(make_record(ratio=0.5))] if with_record else [])]))

    return make


def gate_blocks(page: Page) -> tuple[object, ...]:
    (section,) = (one for one in page.sections if one.key == "gate")
    return section.blocks


@pytest.mark.parametrize(
    ("report", "tone", "word", "sentence"),
    [
        (GateReport((REGRESSED,)), "bad", "Regressed", "The gate found a regression, with exit code 1: 1 regressed."),
        (GateReport((PASSED,)), "good", "Pass", "The gate passed, with exit code 0: 1 passed."),
        (
            GateReport((REGRESSED, PASSED), (CRASHED,)),
            *("bad", "Regressed", "The gate found a regression, with exit code 69: 1 failed, 1 regressed, 1 passed."),
        ),
        (
            GateReport((PASSED,), (CRASHED,)),
            *("bad", "Inconclusive", "The gate was inconclusive, with exit code 69: 1 failed, 1 passed."),
        ),
        (
            GateReport((PASSED,), (ABSENT,)),
            *("good", "Pass", "The gate passed, with exit code 0: 1 passed, 1 not for that machine."),
        ),
        (
            GateReport((), (ABSENT,)),
            *("unsure", "Inconclusive", "The gate was inconclusive, with exit code 77: 1 not for that machine."),
        ),
    ],
)
def test_its_own_verdict_stands_first(
    paged: Callable[..., Page], report: GateReport, tone: str, word: str, sentence: str
) -> None:
    for with_record in (True, False):
        page = paged(report, with_record=with_record)
        assert page.sections[0].key == "gate"
        assert (page.verdict.tone, page.verdict.word, page.verdict.sentence) == (tone, word, sentence)


def test_a_skipped_target_is_no_failure(paged: Callable[..., Page]) -> None:
    (table,) = (one for one in gate_blocks(paged(GateReport((PASSED,), (ABSENT,)))) if isinstance(one, Table))
    assert [row[2].badges[0].text for row in table.rows] == ["Skipped", "Pass"]
    assert all(row[2].badges[0].tone != "bad" for row in table.rows)


def test_equal_findings_of_two_gates_are_two(paged: Callable[..., Page]) -> None:
    here, there = (Finding(SUBJECT, "size", "pass", "small enough", {}, gate=name) for name in ("phone", "board"))
    (table,) = (one for one in gate_blocks(paged(GateReport((here, there)))) if isinstance(one, Table))
    assert [row[0].detail for row in table.rows] == ["gate board", "gate phone"]


def test_a_gate_that_found_nothing_is_shown_with_its_notes_and_decides_nothing(paged: Callable[..., Page]) -> None:
    page = paged(GateReport((), notes=("saved to baseline.json: net",), only_saved=True))
    assert gate_blocks(page) == (
        Line("The gate passed, with exit code 0: it judged nothing."),
        Lines(("saved to baseline.json: net",)),
    )
    assert page.verdict.sentence == "No regression in 1 comparison."


def test_a_gate_of_other_bundles_does_not_decide(paged: Callable[..., Page]) -> None:
    other = Finding("another native fp32", "size", "regressed", "9 MB; the limit is 8 MB", {})
    page = paged(GateReport((other,)))
    assert page.verdict.word == "Pass"
    assert "a gate speaks of bundles that were not given: another native fp32" in page.remarks
    assert "decides nothing" in str(gate_blocks(page)[0])
    both = paged(GateReport((other, PASSED)))
    assert both.verdict.word == "Regressed"
    assert "a gate speaks of bundles that were not given: another native fp32" in both.remarks


def test_the_worst_of_several_gates_is_the_word(paged: Callable[..., Page]) -> None:
    page = paged(GateReport((PASSED,)), GateReport((REGRESSED,)))
    assert page.verdict.word == "Regressed"
    assert page.verdict.sentence.endswith("exit code 1: 1 regressed. The gate passed, with exit code 0: 1 passed.")
    same = paged(GateReport((PASSED,)), GateReport((PASSED,)))
    assert same.verdict.sentence == "The gate passed, with exit code 0: 1 passed."
