"""The section of a history: one metric over commits, drawn and in figures."""

from __future__ import annotations

from collections.abc import Sequence

from edgewright.benchmarks.history.table import HEAD
from edgewright.benchmarks.report import plots
from edgewright.benchmarks.report.blocks import Block, Cell, Column, Fold, Line, Plot, Section, Table
from edgewright.benchmarks.report.data import HistoryShown
from edgewright.benchmarks.report.detail import Detail
from edgewright.benchmarks.report.plots import Caption
from edgewright.benchmarks.report.wording import counted

_NUMBERS = ("value", "95 % interval")


def histories(found: Sequence[HistoryShown], detail: Detail) -> Section | None:
    """A drawing and a table for each line; None where no history was asked for."""
    if not found:
        return None
    blocks = [block for number, one in enumerate(found, 1) for block in _line(one, number, detail)]
    return Section("history", "History", tuple(blocks))


def _line(one: HistoryShown, number: int, detail: Detail) -> tuple[Block, ...]:
    left_out = max(len(one.points) - detail.points, 0)
    steps = [(index - left_out, before, after) for index, before, after in one.steps if index > left_out]
    plot = _plot(one, steps, number, left_out, detail)
    rows = tuple(tuple(Cell(word) for word in point.words) for point in one.points[left_out:])
    columns = tuple(Column(name, number=name in _NUMBERS) for name in HEAD)
    blocks: list[Block] = [Table(f"{one.metric} of {one.subject}", columns, rows)]
    if left_out:
        text = f"{counted(left_out, 'older point')} not shown here: the JSON has all."
        blocks.append(Line(text, "edgewright report BUNDLE --history PATH --json", tone="none"))
    return plot, Fold(f"fold-history-{number}", "Figures", tuple(blocks), counted(len(rows), "point"))


def _plot(
    one: HistoryShown, steps: Sequence[tuple[int, float, float]], number: int, left_out: int, detail: Detail
) -> Plot:
    points = tuple(
        plots.HistoryPoint(point.commit, point.figure.value, point.figure.ci95, point.figure.reason)
        for point in one.points[left_out:]
    )
    unsteady = sum(point.status != "ok" for point in one.points[left_out:])
    told = [
        f"Commits: {len(points)}, oldest first.",
        f"Lasting changes: {len(steps)}.",
        f"Never settled: {unsteady}." if unsteady else "",
        f"Older and left out: {left_out}." if left_out else "",
    ]
    caption = Caption(f"history-{number}", f"{one.metric} of {one.subject}", " ".join(part for part in told if part))
    drawn = tuple(plots.DetectedStep(*step) for step in steps)
    return Plot(
        caption,
        lambda width: plots.history(points, drawn, caption, metric=one.metric, unit=one.unit, width=width),
        detail.single,
    )
