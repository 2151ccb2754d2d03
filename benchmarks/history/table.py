"""A history in words: one table a line, newest measurement last, as text or as Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Literal

from edgewright.benchmarks.history.series import HistorySeries, Series
from edgewright.benchmarks.history.steps import Step
from edgewright.core.foreign_text import spelt_out
from edgewright.core.markdown import escaped
from edgewright.core.units import show_bytes

Form = Literal["text", "markdown"]
HEAD = ("commit", "measured", "value", "95 % interval", "step")
_SHOWN_COMMIT = 12


def history_table(found: HistorySeries, form: Form = "text") -> str:
    """The tables of every series, and a line for what was left out; foreign text in it is made harmless."""
    parts = [_one(series, form) for series in found.series]
    if found.left_out:
        count = len(found.left_out)
        lines = [
            f"{count} record{'s'[: count != 1]} without a point:",
            *(f"- {_word(str(one), form)}" for one in found.left_out),
        ]
        parts.append("\n".join([lines[0], "", *lines[1:]] if form == "markdown" else lines))
    return "\n\n".join(parts) if parts else "no record in this history"


def step_in_words(series: Series, step: Step) -> str:
    """``+5.1 % (worse), p 0.0005``; the change alone where the figure has no noise."""
    change = f"{step.change:+.1%}".replace("%", " %") if math.isfinite(step.change) else "from 0"
    chance = f", p {step.p:.4f}" if step.p else ""
    return f"{change} ({'worse' if series.worsens(step) else 'better'}){chance}"


def rows_of(series: Series) -> list[list[str]]:
    """The words of each point, in the columns of :data:`HEAD`; foreign text in them is as it came."""
    steps = {step.index: step for step in series.steps}
    return [
        [
            _commit(point.commit),
            point.created,
            _shown(series, point.value) + ("" if point.status == "ok" else f" {point.status}"),
            "-"
            if point.low is None or point.high is None
            else f"{_shown(series, point.low)} to {_shown(series, point.high)}",
            step_in_words(series, steps[index]) if index in steps else "",
        ]
        for index, point in enumerate(series.points)
    ]


def _one(series: Series, form: Form) -> str:
    machine = f"{series.cpu} ({series.machine})"
    title = ", ".join(part for part in (series.metric, series.basis, f"on {machine}") if part)
    cells = [list(HEAD), *([_word(cell, form) for cell in row] for row in rows_of(series))]
    heading = f"{_word(str(series.key), form)}: {_word(title, form)}"
    if form == "markdown":
        lines = [f"**{heading}**", "", *(f"| {' | '.join(row)} |" for row in cells)]
        return "\n".join([*lines[:3], "|---|---|--:|---|---|", *lines[3:]])
    return "\n".join([heading, *_aligned(cells)])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _commit(commit: str) -> str:
    """A long commit's beginning, with its mark.

    >>> _commit("0123456789abcdef0123456789abcdef01234567-dirty"), _commit("v1.2")
    ('0123456789ab-dirty', 'v1.2')
    """
    found = re.fullmatch(r"([0-9a-f]{40,64})(-dirty)?", commit)
    return commit if found is None else found[1][:_SHOWN_COMMIT] + (found[2] or "")


def _shown(series: Series, value: float) -> str:
    if series.unit == "ns":
        return f"{value / 1e6:#.4g}".rstrip(".") + " ms"
    if series.unit == "bytes":
        return show_bytes(round(value)) if value >= 0 else f"{value:.0f} B"
    return f"{value:.5g}"


def _word(text: str, form: Form) -> str:
    return escaped(text) if form == "markdown" else spelt_out(text)
