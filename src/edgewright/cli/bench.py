"""``edgewright bench``: how fast is a bundle on this machine, how much memory it takes, and how good it is."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _bench_pairs, _bench_table, _console, _outputs
from edgewright.cli._arguments import add_key
from edgewright.cli._progress import ProgressLine
from edgewright.core.errors import EdgewrightError, ExitCode, UsageError

if TYPE_CHECKING:
    from edgewright.benchmarks.harness.protocol import Protocol
    from edgewright.benchmarks.record import Record

SUMMARY = "measure a bundle on this machine: latency, memory, accuracy"
REPORT_SCHEMA = "edgewright.bench-report/1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares BUNDLE... and the options."""
    from edgewright.benchmarks.harness.protocol import PRESETS
    from edgewright.benchmarks.harness.scenarios import SCENARIOS

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
    parser.add_argument(
        "--against",
        type=Path,
        metavar="BUNDLE",
        help="run in interleaved pairs with this one, and judge: exit 0, 1 slower or worse, 75 nobody can tell",
    )
    parser.add_argument(
        "--self-test", action="store_true", help="run in pairs with itself: this machine's noise, and what it hides"
    )
    parser.add_argument(
        "--history", type=Path, metavar="PATH", help="also append to a history: a folder, or a .sqlite file"
    )
    parser.add_argument("--commit", metavar="ID", help="what the history files it under (default: the git commit here)")
    add_key(parser, "every bundle")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")
    parser.add_argument("--pytest-benchmark-json", type=Path, metavar="FILE", help="write pytest-benchmark's format")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints a table; a bundle that fails does not keep the others from being measured."""
    from edgewright.benchmarks.harness.protocol import protocol_named
    from edgewright.benchmarks.harness.scenarios import scenario_named

    protocol = protocol_named(args.preset, scenario_named(args.scenario, args.rate, args.batch, args.seed))
    _check_places(args)
    if args.against is not None:
        return _against(args)
    measured: list[tuple[Path, Record]] = []
    failures: list[tuple[Path, EdgewrightError]] = []
    unkept: list[EdgewrightError] = []
    for path in args.bundles:
        try:
            record = _bench_pairs.self_test(path, args) if args.self_test else _measured(path, protocol, args)
            measured.append((path, record))
            unkept += _keep(path, record, args)
        except EdgewrightError as error:
            if len(args.bundles) == 1:
                raise
            _console.fail(_console.escape_lines(f"{path.name}: {error.problem}"), _console.escape_lines(error.remedy))
            failures.append((path, error))
    unkept += _exchange(measured, args)
    records = [record for _, record in measured]
    if args.json:
        _console.result(_document(records, failures))
    elif args.self_test:
        _console.result("\n".join(line for record in records for line in _bench_pairs.self_test_lines(record)))
    elif records:
        _bench_table.show(records)
    return _after(unkept, _exit_code(records, failures))


def _against(args: argparse.Namespace) -> ExitCode:
    """Measures in pairs, prints the table and the verdict."""
    outcome = _bench_pairs.against(args)
    records = [record for _, record in outcome.records]
    unkept = [error for path, record in outcome.records for error in _keep(path, record, args)]
    unkept += _exchange(outcome.records, args)
    if args.json:
        _console.result(_document(records, (), outcome.report.to_json()))
    else:
        if records:
            _bench_table.show(records)
        _bench_pairs.show_outcome(outcome)
    return _after(unkept, outcome.report.exit_code)


def _check_places(args: argparse.Namespace) -> None:
    """Whether what is to be written can be, before anything is measured.

    Raises:
        CannotWriteError, BadInputError, UsageError: it cannot, or would replace what is read.
    """
    from edgewright.benchmarks.record import read_document, record_path
    from edgewright.core.files import require_apart

    if args.metric is not None and args.data is None:
        raise UsageError("--metric judges answers to DATA, and there is none", "Add --data.")
    if args.commit is not None and args.history is None and args.pytest_benchmark_json is None:
        raise UsageError("--commit names a measurement nobody keeps", "Add --history, or leave it out.")
    for path in args.bundles:
        read_document(record_path(path))
        _outputs.require_writable(record_path(path), "Copy the bundle to a folder you may write to.")
    kept = [record_path(path) for path in args.bundles]
    data = None if args.data is None else Path(args.data)
    require_apart(
        {"--pytest-benchmark-json": args.pytest_benchmark_json},
        [*args.bundles, *kept, args.against, args.history, data],
    )
    _outputs.require_writable(args.pytest_benchmark_json)
    if args.history is not None:
        from edgewright.benchmarks.history import check_history

        check_history(args.history, args.commit)


def _after(unkept: Sequence[EdgewrightError], code: ExitCode) -> ExitCode:
    """What could not be kept is said last, when every figure is out; it outranks all but a failed engine."""
    for error in unkept:
        _console.fail(_console.escape_lines(error.problem), _console.escape_lines(error.remedy))
    return max([code, *(error.exit_code for error in unkept)])


def _measured(path: Path, protocol: Protocol, args: argparse.Namespace) -> Record:
    from edgewright.benchmarks.bench import bench_bundle
    from edgewright.core.bundle import open_bundle

    bundle = open_bundle(path, args.key)
    with ProgressLine(path.name) as line:
        return bench_bundle(
            bundle,
            protocol,
            args.threads,
            args.data,
            args.metric,
            trust_native_code=args.trust_native_code,
            log=line.say,
            progress=line.show,
        )


def _keep(path: Path, record: Record, args: argparse.Namespace) -> list[EdgewrightError]:
    """Appends to the records beside the bundle, and to a history where one is named; says what makes it shaky.

    What cannot be kept comes back: a figure that took minutes is shown all the same.
    """
    from edgewright.benchmarks.record import append_record, record_path

    problems = []
    try:
        append_record(record_path(path), record)
        if args.history is not None:
            from edgewright.benchmarks.gate.limits import name_of
            from edgewright.benchmarks.history import append_record_to_history

            commit = append_record_to_history(args.history, record, args.commit, name=name_of(path))
            _console.say(f"{_console.escape(path.name)}: in {args.history.name} under {_console.escape(commit)}")
    except EdgewrightError as error:
        problems.append(error)
    for note in record.notes:
        _console.warn(_console.escape_lines(f"{path.name}: {note}"))
    flagged = [run for run in record.runs if run.flags]
    if flagged:
        words = ", ".join(sorted({flag for run in flagged for flag in run.flags}))
        _console.warn(f"{_console.escape(path.name)}: {len(flagged)} of {len(record.runs)} runs are flagged: {words}")
    if record.status != "ok":
        _console.warn(f"{_console.escape(path.name)}: {record.status}: {_WHAT_TO_DO[record.status]}")
    return problems


_WHAT_TO_DO = {
    "unsteady": "the times never settled, so the figures are shaky; stop what else is running and measure again",
    "invalid": "an audit failed, so the figures must not be used",
}


def _exchange(measured: Sequence[tuple[Path, Record]], args: argparse.Namespace) -> list[EdgewrightError]:
    """Writes pytest-benchmark's format where it is asked for; what keeps it from being written comes back."""
    from edgewright.benchmarks.exchange.pytest_json import to_pytest_benchmark
    from edgewright.benchmarks.gate.limits import name_of
    from edgewright.benchmarks.history import commit_here
    from edgewright.core.files import write_atomically
    from edgewright.core.jsontext import pretty

    if args.pytest_benchmark_json is None or not measured:
        return []
    names = [name_of(path) for path, _ in measured]
    document = to_pytest_benchmark([record for _, record in measured], commit_here(args.commit), names)
    try:
        write_atomically(args.pytest_benchmark_json, pretty(document))
    except EdgewrightError as error:
        return [error]
    return []


def _document(
    records: Sequence[Record],
    failures: Sequence[tuple[Path, EdgewrightError]],
    gate: Mapping[str, object] | None = None,
) -> str:
    from edgewright.core.jsontext import canonical

    failed = [
        {"bundle": path.name, "problem": error.problem, "remedy": error.remedy, **error.exit_code.to_json()}
        for path, error in failures
    ]
    content: dict[str, object] = {
        "schema": REPORT_SCHEMA,
        "records": [record.to_json() for record in records],
        "failures": failed,
    }
    if gate is not None:
        content["gate"] = gate
    return canonical(content).decode().rstrip("\n")


def _exit_code(records: Sequence[Record], failures: Sequence[tuple[Path, EdgewrightError]]) -> ExitCode:
    """What failed outweighs what could not be measured here, and both outweigh a figure that must not be used."""
    codes = [error.exit_code for _, error in failures]
    serious = [code for code in codes if code != ExitCode.TARGET_ABSENT]
    if serious:
        return max(serious)
    if any(record.status == "invalid" for record in records):
        return ExitCode.LIMIT_MISSED
    worst = max((_bench_pairs.code_of(record) for record in records), default=ExitCode.OK)
    return worst if worst != ExitCode.OK else max(codes, default=ExitCode.OK)
