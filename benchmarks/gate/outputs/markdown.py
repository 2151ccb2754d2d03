"""A gate's report as Markdown, for a job's summary or a comment on a change."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgewright.benchmarks.gate.findings import Finding, GateReport
from edgewright.benchmarks.gate.outputs.text import LONGEST_TEXT, headline, one_line

_PLAIN = frozenset(" %+-/=,.:;?()'\"")
"""ASCII punctuation that means nothing inside a table's cell, where there are no brackets before a parenthesis; all
other becomes a character reference."""
_PINGS = frozenset("@#")
"""What GitHub makes links of though it was a reference: an empty comment keeps it apart from what follows."""

_BARE_LINK = re.compile(r"www\.|://", re.IGNORECASE)
"""What GitHub makes a link of without any brackets."""


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
    r"""Foreign text that stays text in Markdown: in a table's cell, a list, a comment.

    A character reference can never be structure (CommonMark 0.31, section 2.5), and a table's row is split at bare
    pipes alone.

    >>> cell("a|b`c`<b>\n@all")
    'a&#124;b&#96;c&#96;&#60;b&#62;&#92;n&#64;<!-- -->all'
    """
    escaped = "".join(_escaped(char) for char in one_line(text, longest))
    return _BARE_LINK.sub(lambda link: link[0].replace(".", "&#46;").replace(":", "&#58;"), escaped)


def _escaped(char: str) -> str:
    if char.isascii() and not char.isalnum() and char not in _PLAIN:
        return f"&#{ord(char)};" + ("<!-- -->" if char in _PINGS else "")
    return char


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
