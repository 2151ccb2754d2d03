"""``edgewright bench``: how fast is a bundle on this machine, how much memory it takes, and how good it is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _bench_table, _console
from edgewright.cli._progress import ProgressLine
from edgewright.core.errors import EdgewrightError, ExitCode

if TYPE_CHECKING:
    from edgewright.benchmarks.protocol import Protocol
    from edgewright.benchmarks.record import Record

SUMMARY = "measure a bundle on this machine: latency, memory, accuracy"
REPORT_SCHEMA = "edgewright.bench-report/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE... and the options."""
    from edgewright.benchmarks.protocol import PRESETS
    from edgewright.benchmarks.scenarios import SCENARIOS

    sizes = ", ".join(f"{one.name} {one.seconds:g} s" for one in PRESETS.values())
    parser.add_argument("bundles", metavar="BUNDLE", type=Path, nargs="+", help="bundles, or their unzipped folders")
    parser.add_argument("--preset", choices=tuple(PRESETS), default="quick", help=f"how much: {sizes} (default: quick)")
    parser.add_argument(
        "--scenario",
        choices=SCENARIOS,
        default="single-stream",
        help="one after the other, in batches, or as they arrive: evenly or at random (default: single-stream)",
    )
    parser.add_argument(
        "--rate", type=float, metavar="N", help="arrivals per second (default: half of what the engine can take)"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="offline: samples in one inference (default: 1)")
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="server: of the random arrivals (default: 0)")
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
    from edgewright.benchmarks.protocol import protocol_named
    from edgewright.benchmarks.scenarios import scenario_named

    protocol = protocol_named(args.preset, scenario_named(args.scenario, args.rate, args.batch, args.seed))
    records: list[Record] = []
    failures: list[tuple[Path, EdgewrightError]] = []
    for path in args.bundles:
        try:
            records.append(_measured(path, protocol, args))
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
        _bench_table.show(records)
    return _exit_code(records, failures)


def _measured(path: Path, protocol: Protocol, args: argparse.Namespace) -> Record:
    from edgewright.benchmarks.bench import bench_bundle
    from edgewright.benchmarks.record import append_record, record_path
    from edgewright.core.bundle import open_bundle

    bundle = open_bundle(path)
    with ProgressLine(path.name) as line:
        record = bench_bundle(
            bundle,
            protocol,
            args.threads,
            args.data,
            args.metric,
            trust_native_code=args.trust_native_code,
            log=line.say,
            progress=line.show,
        )
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


def _write_exchange(path: Path, records: Sequence[Record]) -> None:
    from edgewright.benchmarks.history.commit import commit_here
    from edgewright.benchmarks.pytest_json import to_pytest_benchmark
    from edgewright.core.files import write_atomically
    from edgewright.core.jsontext import pretty

    write_atomically(path, pretty(to_pytest_benchmark(records, commit_here())))


def _document(records: Sequence[Record], failures: Sequence[tuple[Path, EdgewrightError]]) -> str:
    from edgewright.core.jsontext import canonical

    failed = [
        {"bundle": path.name, "problem": error.problem, "remedy": error.remedy, "exit_code": int(error.exit_code)}
        for path, error in failures
    ]
    content = {"schema": REPORT_SCHEMA, "records": [record.to_json() for record in records], "failures": failed}
    return canonical(content).decode().rstrip("\n")


def _exit_code(records: Sequence[Record], failures: Sequence[tuple[Path, EdgewrightError]]) -> ExitCode:
    """What failed outweighs what could not be measured here, and both outweigh a figure that must not be used."""
    codes = [error.exit_code for _, error in failures]
    serious = [code for code in codes if code != ExitCode.TARGET_ABSENT]
    if codes:
        return max(serious or codes)
    return ExitCode.LIMIT_MISSED if any(record.status == "invalid" for record in records) else ExitCode.OK
