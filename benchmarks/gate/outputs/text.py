"""A gate's report for people at a terminal: the verdict first, then a line per finding."""

from __future__ import annotations

from collections.abc import Callable

from edgewright.benchmarks.gate.findings import GateReport
from edgewright.core.foreign_text import shortened, spelt_out

LONGEST_TEXT = 2000
"""What a problem may say in one line: a list of operators is long, a log is not for here."""
_WIDTH = len("inconclusive")


def to_text(report: GateReport, paint: Callable[[str, str], str] = lambda text, _word: text) -> str:
    """The report in lines.

    Args:
        report: what was found.
        paint: gives a verdict's text its colour; it is told the text and which verdict it is.
    """
    lines = [headline(report, paint)]
    for one in report.findings:
        word = paint(one.verdict.ljust(_WIDTH), one.verdict)
        lines.append(f"{word}  {one_line(one.title)}: {one.metric}: {one_line(one.text, LONGEST_TEXT)}")
        lines += _indented(one.remedy)
    for failure in report.failures:
        word = paint(failure.kind.ljust(_WIDTH), "skipped" if failure.skipped else "failed")
        lines.append(f"{word}  {one_line(failure.title)}: {one_line(failure.problem, LONGEST_TEXT)}")
        lines += _indented(failure.remedy)
    return "\n".join([*lines, *(f"note: {one_line(note, LONGEST_TEXT)}" for note in report.notes)])


def headline(report: GateReport, paint: Callable[[str, str], str] = lambda text, _word: text) -> str:
    """The verdict and how many findings are which.

    >>> headline(GateReport(()))
    'inconclusive: nothing was judged'
    """
    counts = [
        f"{sum(one.verdict == word for one in report.findings)} {word}"
        for word in ("regressed", "inconclusive", "pass")
        if any(one.verdict == word for one in report.findings)
    ]
    failed = sum(not one.skipped for one in report.failures)
    skipped = len(report.failures) - failed
    counts += [f"{failed} failed"] if failed else []
    counts += [f"{skipped} not for this machine"] if skipped else []
    nothing = "nothing was to be judged" if report.only_saved else "nothing was judged"
    return f"{paint(report.verdict, report.verdict)}: {', '.join(counts) or nothing}"


def one_line(text: str, longest: int = 200) -> str:
    r"""Foreign text in one line of visible characters.

    >>> one_line("a\nb\x1b[31m")
    'a\\nb\\x1b[31m'
    """
    return shortened(spelt_out(text), longest)


def _indented(remedy: str) -> list[str]:
    return [f"{'':{_WIDTH}}  {one_line(line, LONGEST_TEXT)}" for line in remedy.split("\n") if line]
