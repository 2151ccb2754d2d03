"""Names of models are hostile text: whatever they are, each format stays what it is."""

from __future__ import annotations

import html
import json
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.benchmarks.gate.outputs.github import MOST_PER_LEVEL, defused, to_annotations
from edgewright.benchmarks.gate.outputs.junit import to_junit
from edgewright.benchmarks.gate.outputs.markdown import cell, to_markdown
from edgewright.benchmarks.gate.outputs.text import one_line, to_text
from edgewright.core.errors import EngineError, ExitCode, TargetAbsentError
from edgewright.core.foreign_text import spelt_out

HOSTILE = st.one_of(
    st.text(max_size=60),
    st.text("|`\\<>&%:,\n\r\x00\x1b\u202e\u2028\ufffe@#[]*_~!$()w.]'\"", max_size=40),
    st.sampled_from(
        [
            "</testcase><x>",
            "::error::x",
            "##[error]x",
            "]]>",
            "<script>",
            "| a | b |",
            "\ud800",
            "www.a.b",
            "WWW.a",
            "http://a.b",
        ]
    ),
)
VERDICTS = st.sampled_from(["pass", "regressed", "inconclusive"])
FINDINGS = st.builds(
    Finding,
    subject=HOSTILE,
    metric=st.sampled_from(["latency", "latency-limit", "accuracy", "size", "memory"]),
    verdict=VERDICTS,
    text=HOSTILE,
    figures=st.just({}),
    remedy=HOSTILE,
    gate=HOSTILE,
)
FAILURES = st.builds(
    Failure,
    subject=HOSTILE,
    kind=st.sampled_from(["crashed", "timeout", "memory", "raised", "absent"]),
    problem=HOSTILE,
    remedy=HOSTILE,
    exit_code=st.sampled_from([ExitCode.UNAVAILABLE, ExitCode.TARGET_ABSENT]),
    gate=HOSTILE,
)
REPORTS = st.builds(
    GateReport,
    findings=st.lists(FINDINGS, max_size=5).map(tuple),
    failures=st.lists(FAILURES, max_size=3).map(tuple),
    notes=st.lists(HOSTILE, max_size=2).map(tuple),
)
COMMAND = re.compile(r"::(error|warning|notice) title=([^:,\r\n]*)::([^\r\n]*)")


def finding(verdict: str = "regressed", subject: str = "net native fp32", gate: str = "") -> Finding:
    return Finding(subject, "latency", verdict, "1.10 of the baseline", {"ratio": 1.1}, "look at it", gate)  # type: ignore[arg-type]


@given(REPORTS)
def test_junit_is_well_formed_and_says_the_same_words(report: GateReport) -> None:
    root = ET.fromstring(to_junit(report))
    cases = root.findall(".//testcase")
    items = [*report.findings, *report.failures]
    assert len(cases) == len(items)
    assert {case.get("classname") for case in cases} == {one_line(item.title) for item in items}
    said = {case.findtext("system-out") or case[0].get("message") for case in cases}
    # An empty text comes back as none at all.
    assert {text or "" for text in said} == {
        spelt_out(item.text if isinstance(item, Finding) else item.problem) for item in items
    }
    assert not {child.tag for case in cases for child in case} - {"failure", "error", "skipped", "system-out"}


def test_junit_counts_what_ci_systems_count() -> None:
    absent = Failure.of("b", TargetAbsentError("not here", "go there"))
    crashed = Failure.of("c", EngineError("it crashed", "", "crashed"))
    both = (finding("regressed"), finding("inconclusive"), finding("pass"))
    root = ET.fromstring(to_junit(GateReport(both, (absent, crashed))))
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5", "failures": "1", "errors": "2", "skipped": "1",
    }  # fmt: skip
    first = root.findall("testsuite")[0]
    assert [case.get("name") for case in first] == ["latency", "latency (2)", "latency (3)"]
    assert [case[0].tag for case in first] == ["failure", "error", "system-out"]
    assert root.find(".//error[@type='crashed']") is not None


@given(REPORTS)
def test_github_lines_are_commands_of_ours_alone(report: GateReport) -> None:
    lines = re.split(r"[\r\n]", to_annotations(report))
    for line in lines:
        assert COMMAND.fullmatch(line), line
    loud = sum(one.verdict != "pass" for one in report.findings) + len(report.failures)
    assert len(lines) == loud + 1


@given(REPORTS)
def test_text_in_a_github_log_starts_no_command(report: GateReport) -> None:
    for line in re.split(r"[\r\n\u2028\u2029]", defused(to_text(report))):
        assert not line.lstrip().startswith("::")
        assert "##[" not in line


def test_defused_where_a_line_begins_like_a_command() -> None:
    assert defused("a\n  ::set-output name=x::y") == "a\n.   ::set-output name=x::y"


@pytest.mark.parametrize(("verdict", "level"), [("regressed", "error"), ("inconclusive", "warning")])
@pytest.mark.parametrize("count", [10, 11, 37])
def test_github_gets_ten_of_a_level_and_the_rest_is_counted(verdict: str, level: str, count: int) -> None:
    lines = to_annotations(GateReport((finding(verdict),) * count)).splitlines()
    same = [line for line in lines if line.startswith(f"::{level} ")]
    assert len(same) == MOST_PER_LEVEL
    told = [line for line in same if "more like these" in line]
    assert len(told) == (count > MOST_PER_LEVEL)
    if told:
        assert f"::{count - 9} more" in told[0]


def test_github_escapes_as_its_toolkit_does() -> None:
    report = GateReport((Finding("a:b,c%", "latency", "regressed", "50% of a,b:c", {}, "line one"),))
    assert to_annotations(report).splitlines()[0] == "::error title=latency%3A a%3Ab%2Cc%25::50%25 of a,b:c%0Aline one"


@given(REPORTS)
@example(GateReport((finding(subject="a|b\\|c`|`"),)))
def test_markdown_tables_keep_their_columns(report: GateReport) -> None:
    blocks = to_markdown(report).split("\n\n")
    tables = [block.splitlines() for block in blocks if block.startswith("|")]
    assert sum(len(table) - 2 for table in tables) == len(report.findings) + len(report.failures)
    for table in tables:
        # No row has a backslash, so no pipe is escaped: each one is a column's edge.
        assert {line.count("|") for line in table} == {table[0].count("|")}
        assert "\\" not in "".join(table)
        assert not {line.count("`") for line in table} - {0}


@given(HOSTILE)
def test_markdown_cells_have_no_markup_of_others(text: str) -> None:
    found = cell(text)
    plain = found.replace("<!-- -->", "")
    assert not set("|`<>*_[]\\~\n\r") & set(plain)
    assert not re.search(r"[@#](?!\d+;)", plain)
    assert "www." not in plain.lower()
    assert "://" not in plain
    assert html.unescape(plain) == one_line(text)  # nothing is lost


def test_a_report_as_text() -> None:
    report = GateReport(
        (finding(gate="front door"), finding("pass", "b")),
        (Failure.of("c", EngineError("it crashed", "look", "crashed"), "back"),),
        ("x\ny",),
    )
    assert to_text(report).splitlines() == [
        "regressed: 1 regressed, 1 pass, 1 failed",
        "regressed     front door (net native fp32): latency: 1.10 of the baseline",
        "              look at it",
        "pass          b: latency: 1.10 of the baseline",
        "              look at it",
        "crashed       back (c): it crashed",
        "              look",
        "note: x\\ny",
    ]


def test_colours_are_what_the_caller_says() -> None:
    shown = to_text(GateReport((finding(),)), lambda text, word: f"<{word}>{text}</>")
    assert shown.startswith("<regressed>regressed</>: 1 regressed\n<regressed>regressed   </>  net")


@given(REPORTS)
def test_json_is_one_document(report: GateReport) -> None:
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert document["schema"] == "edgewright.gate/1"
    assert document["exit_code"] == report.exit_code
