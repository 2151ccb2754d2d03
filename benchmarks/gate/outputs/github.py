"""A gate's report as GitHub annotations: workflow commands, one a line.

GitHub shows ten annotations of a level per step and drops the rest without a word, so the rest is counted in the tenth.
The escapes are those of its own toolkit (``@actions/core``, ``command.ts``).
"""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.gate.findings import Failure, Finding, GateReport
from edgewright.benchmarks.gate.outputs.text import LONGEST_TEXT, headline, one_line

MOST_PER_LEVEL = 10
_LEVELS = ("error", "warning", "notice")


def to_annotations(report: GateReport) -> str:
    """The lines: errors (regressed, failed), warnings (inconclusive), notices (a target that is not here, the verdict).

    Passes have none of their own.
    """
    by_level: dict[str, list[str]] = {level: [] for level in _LEVELS}
    items: list[Finding | Failure] = [*report.findings, *report.failures]
    for item in items:
        level = _level(item)
        if level is not None:
            by_level[level].append(_command(level, *_words(item)))
    by_level["notice"].insert(0, _command("notice", "edgewright gate", headline(report)))
    return "\n".join(line for level, lines in by_level.items() for line in _at_most_ten(level, lines))


def defused(text: str) -> str:
    """Lines for a log that GitHub's runner reads: foreign text in them starts no command.

    A command ``::name`` must begin its line; one of the old form ``##[name]`` may stand anywhere in it.

    >>> defused("x ##[error]y")
    'x # #[error]y'
    """
    broken = text.replace("##[", "# #[")
    return "\n".join(f". {line}" if line.lstrip().startswith("::") else line for line in broken.split("\n"))


def _level(item: Finding | Failure) -> str | None:
    if isinstance(item, Failure):
        return "notice" if item.skipped else "error"
    return {"regressed": "error", "inconclusive": "warning", "pass": None}[item.verdict]


def _words(item: Finding | Failure) -> tuple[str, str]:
    what, text = (item.metric, item.text) if isinstance(item, Finding) else (item.kind, item.problem)
    remedy = f"\n{one_line(item.remedy, LONGEST_TEXT)}" if item.remedy else ""
    return f"{what}: {one_line(item.title)}", one_line(text, LONGEST_TEXT) + remedy


def _at_most_ten(level: str, lines: Sequence[str]) -> Sequence[str]:
    if len(lines) <= MOST_PER_LEVEL:
        return lines
    rest = len(lines) - (MOST_PER_LEVEL - 1)
    return [
        *lines[: MOST_PER_LEVEL - 1],
        _command(level, "edgewright gate", f"{rest} more like these; all of them are in the log and the summary"),
    ]


def _command(level: str, title: str, message: str) -> str:
    title, message = defused(title), defused(message)
    return f"::{level} title={_property(title)}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
