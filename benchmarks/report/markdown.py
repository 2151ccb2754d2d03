"""The report's tables as Markdown (GitHub's flavour): for pull requests and terminals. Foreign text is escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgewright.benchmarks.report.blocks import Block, Cell, Code, Facts, Fold, Line, Lines, Page, Plot, Table
from edgewright.core.foreign_text import spelt_out
from edgewright.core.markdown import escaped

_NOT_IN_MARKDOWN = ("data",)
"""Keys of sections that only a page has room for."""


def render_markdown(page: Page) -> str:
    """The whole report without its drawings; the same text for the same page."""
    lines = [f"# {escaped(page.title)}", "", escaped(page.subtitle), ""]
    verdict = page.verdict
    lines += ["## Verdict", "", f"**{verdict.word}.** {_with_command(verdict.sentence, verdict.command)}", ""]
    lines += [
        f"- **{card.word}**: {escaped(card.title)}: {escaped(card.figure)} {escaped(card.detail)}"
        for card in verdict.cards
    ]
    lines += [f"- {escaped(name)}: **{escaped(figure)}**, {escaped(whose)}" for name, figure, whose in verdict.facts]
    lines += [f"- {_with_command(line.text, line.command)}" for line in verdict.noise]
    lines += [f"- {escaped(text)}" for text in page.remarks]
    for section in page.sections:
        if section.key in _NOT_IN_MARKDOWN:
            continue
        lines += ["", f"## {section.title}", ""]
        if section.lead:
            lines += [escaped(section.lead), ""]
        lines += _blocks(section.blocks)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip("\n") + "\n"


def _with_command(text: str, command: str) -> str:
    return escaped(text) + (f" {_code(command)}" if command else "")


def _code(text: str) -> str:
    """A span of code whose fence is longer than any run of backticks inside (CommonMark 6.1)."""
    plain = spelt_out(text)
    fence = "`" * (max((len(run) for run in re.findall(r"`+", plain)), default=0) + 1)
    return f"{fence} {plain} {fence}" if "`" in plain else f"`{plain}`"


def _blocks(blocks: Sequence[Block]) -> Iterator[str]:
    for block in blocks:
        yield from _block(block)
        yield ""


def _block(block: Block) -> Iterator[str]:
    match block:
        case Table():
            yield from _table(block)
        case Line():
            yield _with_command(block.text, block.command)
        case Lines():
            yield from (f"- {escaped(text)}" for text in block.items)
        case Facts():
            yield from (f"- {escaped(name)}: {escaped(text)}" for name, text in block.pairs)
        case Code():
            yield f"{escaped(block.label)}:"
            yield ""
            yield from (f"    {spelt_out(line)}" for line in block.text.split("\n"))
        case Fold():
            yield f"### {escaped(block.summary)}" + (f": {escaped(block.detail)}" if block.detail else "")
            yield ""
            yield from _blocks(block.blocks)
        case Plot():
            yield escaped(f"{block.caption.title}: {block.caption.description}")


def _table(table: Table) -> Iterator[str]:
    yield f"{escaped(table.caption)}:"
    yield ""
    yield "| " + " | ".join(escaped(column.text) for column in table.columns) + " |"
    yield "|" + "|".join(" ---: " if column.number else " --- " for column in table.columns) + "|"
    yield from ("| " + " | ".join(_cell(cell) for cell in row) + " |" for row in table.rows)
    if table.reasons:
        yield ""
        yield from (f"{number}. {escaped(reason)}" for number, reason in enumerate(table.reasons, 1))


def _cell(cell: Cell) -> str:
    parts = [cell.text + (f" ({cell.why})" if cell.why else ""), *(badge.text for badge in cell.badges)]
    beside = ", ".join(part for part in (cell.detail, cell.more) if part)
    if beside:
        parts.append(f"({beside})")
    return escaped(" ".join(part for part in parts if part))
