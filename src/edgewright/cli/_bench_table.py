"""The table of ``bench``: for a person on a terminal, with intervals and colour; for a pipe in plain columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.core.units import show_bytes

if TYPE_CHECKING:
    from rich.table import Table

    from edgewright.benchmarks.record import Record
    from edgewright.benchmarks.statistics import Percentile

TAILS = ("p50", "p90", "p95", "p99", "p99.9")
_BAR = 12
_WIDE, _MIDDLING = 100, 84
"""Columns of a terminal, beside nine for each percentile, from which the bar, and what loading takes, have room."""
_STATUS = {"ok": "", "unsteady": "yellow", "invalid": "red"}


def show(records: Sequence[Record]) -> None:
    """Prints the table on stdout; a dash where there are too few samples for a figure, or it was not measured."""
    if _console.results().isatty():
        from rich.console import Console

        console = Console(file=_console.results())
        console.print(_rich(records, console.width))
    else:
        _console.result("\n".join(_plain(records)))
    for line in _device_lines(records):
        _console.result(line)


def milliseconds(nanoseconds: float) -> str:
    """Four significant digits at most, as many as repeat from run to run.

    >>> milliseconds(115220), milliseconds(12_367_759)
    ('0.1152', '12.37')
    """
    return f"{nanoseconds / 1e6:#.4g}".rstrip(".")


def _rich(records: Sequence[Record], width: int) -> Table:
    """A row of two lines for each record: the figures, and under them what they are worth.

    Where the terminal is narrow the bar goes first, then what loading takes.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    tails = _tails(records)
    slowest = max(_typical(record) for record in records)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1))
    wide, middling = width >= _WIDE + 9 * len(tails), width >= _MIDDLING + 9 * len(tails)
    table.add_column("model", overflow="fold", min_width=16)
    if wide:
        table.add_column("ms", no_wrap=True)
    for name in (*tails, "per s", *(("first", "load") if middling else ()), "memory", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("accuracy", justify="right")
    for record in records:
        found = record.summary.percentiles
        who = Text(_console.escape(record.subject.model), style="bold")
        who.append(
            f"\n{_target(record)}\n{_console.escape(record.subject.precision)}, {_threads(record)}",
            style="not bold dim",
        )
        cells = [_milliseconds_with_interval(found.get(tail)) for tail in tails]
        accuracy = record.accuracy
        figure = Text("-") if accuracy is None else Text(f"{accuracy.value:.4f}\n")
        if accuracy is not None:
            figure.append(_console.escape(accuracy.metric), style="dim")
        if record.status != "ok":
            who.append(f"\n{record.status}", style=_STATUS[record.status])
        bar = Text("█" * max(1, round(_BAR * _typical(record) / slowest)), style="cyan")
        starting = [milliseconds(record.summary.first_ns), milliseconds(record.summary.load_ns)]
        table.add_row(
            who,
            *([bar] if wide else []),
            *cells,
            f"{record.summary.throughput:,.0f}",
            *(starting if middling else []),
            _peak(record),
            show_bytes(record.subject.size_bytes),
            figure,
        )
    return table


def _milliseconds_with_interval(found: Percentile | None) -> str:
    """The figure, and below it half the width of its interval."""
    if found is None:
        return "-"
    if found.ci95 is None:
        return milliseconds(found.value)
    half = (found.ci95[1] - found.ci95[0]) / 2
    return f"{milliseconds(found.value)}\n±{half / found.value:.1%}"


def _plain(records: Sequence[Record]) -> list[str]:
    """Aligned columns without frames or colour; times in milliseconds."""
    tails = _tails(records)
    head = ["model", "target", "precision", "threads", "size", *(f"{name} ms" for name in tails)]
    rows = [[*head, "per s", "first ms", "load ms", "memory", "accuracy"]]
    for record in records:
        found = record.summary.percentiles
        accuracy = record.accuracy
        rows.append(
            [
                _console.escape(record.subject.model),
                _target(record),
                _console.escape(record.subject.precision),
                str(record.target.threads),
                show_bytes(record.subject.size_bytes),
                *(milliseconds(found[name].value) if name in found else "-" for name in tails),
                f"{record.summary.throughput:.4g}",
                milliseconds(record.summary.first_ns),
                milliseconds(record.summary.load_ns),
                _peak(record),
                "-" if accuracy is None else f"{_console.escape(accuracy.metric)} {accuracy.value:.4f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _tails(records: Sequence[Record]) -> list[str]:
    return [name for name in TAILS if any(name in record.summary.percentiles for record in records)]


def _typical(record: Record) -> float:
    found = record.summary.percentiles.get("p50")
    return record.summary.mean if found is None else found.value


def _target(record: Record) -> str:
    """The target, and how inferences were asked for where that was not one after the other."""
    name = _console.escape(record.target.name) + (" (host-proxy)" if record.target.host_proxy else "")
    used = record.protocol
    if used.scenario == "single-stream":
        return name
    rate = "" if used.rate_per_s is None else f" {used.rate_per_s:g}/s"
    return f"{name} {used.scenario}{rate}{f' batch {used.batch}' if used.scenario == 'offline' else ''}"


def _threads(record: Record) -> str:
    return "1 thread" if record.target.threads == 1 else f"{record.target.threads} threads"


def _peak(record: Record) -> str:
    peak = None if record.memory is None else record.memory.hundredth_bytes
    return "-" if peak is None else show_bytes(peak)


def _device_lines(records: Sequence[Record]) -> list[str]:
    """What the device's own clock says, a line for each record that has it."""
    lines = []
    for record in records:
        found = record.summary.device_percentiles or {}
        figures = "  ".join(f"{name} {milliseconds(found[name].value)} ms" for name in TAILS if name in found)
        if figures:
            model, target = _console.escape(record.subject.model), _console.escape(record.target.name)
            lines.append(f"{model} {target}: by the device's own clock, without transfers: {figures}")
    return lines
