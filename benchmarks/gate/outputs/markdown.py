"""A gate's report as Markdown, for a job's summary or a comment on a change."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.gate.findings import Finding, GateReport
from edgewright.benchmarks.gate.outputs.text import LONGEST_TEXT, headline, one_line
from edgewright.core.markdown import escaped


def to_markdown(report: GateReport) -> str:
    """A heading with the verdict, a table of findings, one of failures, and the notes."""
    blocks = [f"## Edgewright gate: {headline(report)}"]
    if report.findings:
        blocks.append(
            _table(("verdict", "subject", "metric", "what was found"), [_row(one) for one in report.findings])
        )
    if report.failures:
        rows = [
            (one.kind, _code(one.title), cell(one.problem, LONGEST_TEXT) + _remedy(one.remedy))
            for one in report.failures
        ]
        blocks.append("Not judged:")
        blocks.append(_table(("why", "subject", "what happened"), rows))
    if report.notes:
        blocks.append("\n".join(f"- {cell(note, LONGEST_TEXT)}" for note in report.notes))
    return "\n\n".join(blocks) + "\n"


def cell(text: str, longest: int = 200) -> str:
    """Foreign text of at most ``longest`` characters that stays text, as :func:`edgewright.core.markdown.escaped`."""
    return escaped(one_line(text, longest))


def _row(one: Finding) -> tuple[str, ...]:
    verdict = one.verdict if one.verdict == "pass" else f"**{one.verdict}**"
    return verdict, _code(one.title), one.metric, cell(one.text, LONGEST_TEXT) + _remedy(one.remedy)


def _remedy(remedy: str) -> str:
    return f"<br>{cell(remedy, LONGEST_TEXT)}" if remedy else ""


def _code(text: str) -> str:
    return f"<code>{cell(text)}</code>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
