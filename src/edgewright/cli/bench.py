"""``edgewright bench``: how fast is a bundle on this machine, how much memory it takes, and how good it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.core.errors import EdgewrightError, ExitCode
from edgewright.core.units import show_bytes

if TYPE_CHECKING:
    from edgewright.benchmarks.record import Record

SUMMARY = "measure a bundle on this machine: latency, memory, accuracy"
REPORT_SCHEMA = "edgewright.bench-report/1"
_TAILS = ("p50", "p90", "p95", "p99", "p99.9")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE... and the options."""
    from edgewright.benchmarks.protocol import PRESETS

    sizes = ", ".join(f"{one.name} {one.seconds:g} s" for one in PRESETS.values())
    parser.add_argument("bundles", metavar="BUNDLE", type=Path, nargs="+", help="bundles, or their unzipped folders")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="quick", help=f"how much: {sizes} (default: quick)")
    parser.add_argument(
        "--data", metavar="DATA", help="inputs to run; with labels, accuracy too (default: golden ones)"
    )
    parser.add_argument("--metric", metavar="NAME|module:fn", help="how to judge DATA (default: the bundle's metric)")
    parser.add_argument("--threads", type=int, metavar="N", help="compute threads (default: the target's)")
    parser.add_argument(
        "--trust-native-code", action="store_true", help="open engines that are machine code, which runs when opened"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("--pytest-benchmark-json", type=Path, metavar="FILE", help="write pytest-benchmark's format")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints a table; a bundle that fails does not keep the others from being measured."""
    records: list[Record] = []
    failures: list[tuple[Path, EdgewrightError]] = []
    for path in args.bundles:
        try:
            records.append(_measured(path, args))
        except EdgewrightError as error:
            if len(args.bundles) == 1:
                raise
            _console.fail(_console.escape_lines(f"{path.name}: {error.problem}"), _console.escape_lines(error.remedy))
            failures.append((path, error))
    if args.pytest_benchmark_json is not None and records:
        _write_exchange(args.pytest_benchmark_json, records)
    if args.json:
        _console.result(_document(records, failures))
    elif records:
        _console.result("\n".join([*_table(records), *_device_lines(records)]))
    return _exit_code(records, failures)


def _measured(path: Path, args: argparse.Namespace) -> Record:
    from edgewright.benchmarks.bench import bench_bundle
    from edgewright.benchmarks.record import append_record, record_path
    from edgewright.core.bundle import open_bundle

    bundle = open_bundle(path)
    line = _Line(path.name)
    try:
        record = bench_bundle(
            bundle,
            args.preset,
            args.threads,
            args.data,
            args.metric,
            trust_native_code=args.trust_native_code,
            log=line.say,
            progress=line.show,
        )
    finally:
        line.clear()
    append_record(record_path(path), record)
    for note in record.notes:
        _console.warn(_console.escape(f"{path.name}: {note}"))
    flagged = [run for run in record.runs if run.flags]
    if flagged:
        words = ", ".join(sorted({flag for run in flagged for flag in run.flags}))
        _console.warn(f"{_console.escape(path.name)}: {len(flagged)} of {len(record.runs)} runs are flagged: {words}")
    if record.status != "ok":
        _console.warn(f"{_console.escape(path.name)}: {record.status}: {_WHAT_TO_DO[record.status]}")
    return record


_WHAT_TO_DO = {
    "unsteady": "the times never settled, so the figures are shaky; stop what else is running and measure again",
    "invalid": "an audit failed, so the figures must not be used",
}


class _Line:
    """The line of progress at the bottom of a terminal; nothing where there is none."""

    def __init__(self, name: str) -> None:
        self._name, self._shown = _console.escape(name), sys.stderr.isatty()

    def show(self, what: str, share: float) -> None:
        if self._shown:
            print(f"\r\x1b[K{self._name}: {what} ({share:.0%})", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def say(self, line: str) -> None:
        self.clear()
        _console.say(f"{self._name}: {_console.escape(line)}")


def _write_exchange(path: Path, records: Sequence[Record]) -> None:
    from edgewright.benchmarks.commit import commit_of
    from edgewright.benchmarks.pytest_json import to_pytest_benchmark
    from edgewright.core.files import write_atomically
    from edgewright.core.jsontext import pretty

    write_atomically(path, pretty(to_pytest_benchmark(records, commit_of(Path.cwd()))))


def _document(records: Sequence[Record], failures: Sequence[tuple[Path, EdgewrightError]]) -> str:
    from edgewright.core.jsontext import canonical

    failed = [
        {"bundle": path.name, "problem": error.problem, "remedy": error.remedy, "exit_code": int(error.exit_code)}
        for path, error in failures
    ]
    content = {"schema": REPORT_SCHEMA, "records": [record.to_json() for record in records], "failures": failed}
    return canonical(content).decode().rstrip("\n")


def _table(records: Sequence[Record]) -> list[str]:
    """Times in milliseconds; a dash where there are too few samples for a figure, or it was not measured."""
    tails = [name for name in _TAILS if any(name in record.summary.percentiles for record in records)]
    head = ["model", "target", "precision", "threads", "size", *(f"{name} ms" for name in tails)]
    rows = [[*head, "first ms", "load ms", "memory", "accuracy"]]
    for record in records:
        found = record.summary.percentiles
        accuracy = record.accuracy
        rows.append(
            [
                _console.escape(record.subject.model),
                _console.escape(record.target.name) + (" (host-proxy)" if record.target.host_proxy else ""),
                record.subject.precision,
                str(record.target.threads),
                show_bytes(record.subject.size_bytes),
                *(_milliseconds(found[name].value) if name in found else "-" for name in tails),
                _milliseconds(record.summary.first_ns),
                _milliseconds(record.summary.load_ns),
                _peak(record),
                "-" if accuracy is None else f"{_console.escape(accuracy.metric)} {accuracy.value:.4f}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _device_lines(records: Sequence[Record]) -> list[str]:
    """What the device's own clock says, a line for each record that has it."""
    lines = []
    for record in records:
        found = record.summary.device_percentiles or {}
        figures = "  ".join(f"{name} {_milliseconds(found[name].value)} ms" for name in _TAILS if name in found)
        if figures:
            model, target = _console.escape(record.subject.model), _console.escape(record.target.name)
            lines.append(f"{model} {target}: by the device's own clock, without transfers: {figures}")
    return lines


def _milliseconds(nanoseconds: float) -> str:
    """Four significant digits at most, as many as repeat from run to run.

    >>> _milliseconds(115220), _milliseconds(12_367_759)
    ('0.1152', '12.37')
    """
    return f"{nanoseconds / 1e6:#.4g}".rstrip(".")


def _peak(record: Record) -> str:
    peak = None if record.memory is None else record.memory.hundredth_bytes
    return "-" if peak is None else show_bytes(peak)


def _exit_code(records: Sequence[Record], failures: Sequence[tuple[Path, EdgewrightError]]) -> ExitCode:
    """What failed outweighs what could not be measured here, and both outweigh a figure that must not be used."""
    codes = [error.exit_code for _, error in failures]
    serious = [code for code in codes if code != ExitCode.TARGET_ABSENT]
    if codes:
        return max(serious or codes)
    return ExitCode.LIMIT_MISSED if any(record.status == "invalid" for record in records) else ExitCode.OK
