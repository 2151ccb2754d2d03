from __future__ import annotations

import itertools

import pytest

from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.core.errors import (
    BadInputError,
    EdgewrightError,
    EngineError,
    ExitCode,
    TargetAbsentError,
    UnavailableError,
    UsageError,
)

VERDICTS = ("pass", "inconclusive", "regressed")
CRASH, ABSENT = Failure.of("c", EngineError("x", "", "crashed")), Failure.of("a", TargetAbsentError("x"))


def findings(*verdicts: str) -> tuple[Finding, ...]:
    return tuple(Finding("s", "size", verdict, "", {}) for verdict in verdicts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "verdicts", [some for count in (1, 2, 3) for some in itertools.product(VERDICTS, repeat=count)]
)
def test_the_worst_of_all_is_the_verdict(verdicts: tuple[str, ...]) -> None:
    report = GateReport(findings(*verdicts))
    assert report.verdict == max(verdicts, key=VERDICTS.index)
    assert report.exit_code == {"pass": 0, "regressed": 1, "inconclusive": 75}[report.verdict]


def test_nothing_judged_is_no_pass() -> None:
    assert (GateReport(()).verdict, GateReport(()).exit_code) == ("inconclusive", ExitCode.RETRYABLE)
    saved = GateReport((), only_saved=True)
    assert (saved.verdict, saved.exit_code) == ("pass", ExitCode.OK)


def test_a_failure_is_no_pass_and_an_absent_target_is_skipped() -> None:
    assert GateReport(findings("pass"), (CRASH,)).verdict == "inconclusive"
    assert GateReport(findings("pass"), (CRASH,)).exit_code == ExitCode.UNAVAILABLE
    assert GateReport(findings("regressed"), (CRASH, ABSENT)).verdict == "regressed"
    assert GateReport((), (CRASH,), only_saved=True).exit_code == ExitCode.UNAVAILABLE
    assert GateReport(findings("pass"), (ABSENT,)).exit_code == ExitCode.OK
    assert GateReport((), (ABSENT,)).exit_code == ExitCode.TARGET_ABSENT


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EngineError("", "", "timeout"), "timeout"),
        (TargetAbsentError(""), "absent"),
        (BadInputError(""), "bad-input"),
        (UsageError(""), "bad-input"),
        (UnavailableError(""), "unavailable"),
    ],
)
def test_failures_are_classified(error: EdgewrightError, kind: str) -> None:
    found = Failure.of("net", error, "door")
    assert (found.kind, found.exit_code, found.title) == (kind, error.exit_code, "door (net)")


def test_a_title_says_nothing_twice() -> None:
    assert Failure.of("net", UsageError(""), "net").title == "net"
    assert Failure.of("net", UsageError("")).title == "net"
