"""``edgewright gate``: is what is to be shipped worse than what was? Pass, regressed or inconclusive, for a build."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console, _outputs
from edgewright.cli._arguments import add_key
from edgewright.cli._progress import ProgressLine
from edgewright.core.errors import EdgewrightError, ExitCode, UsageError

if TYPE_CHECKING:
    from edgewright.benchmarks.gate.findings import GateReport
    from edgewright.benchmarks.gate.limits import Gate, Gates
    from edgewright.benchmarks.gate.session import Outcome

SUMMARY = "hold bundles against what was shipped: latency, accuracy, size, memory"
DEFAULT_LIMITS = Path("gates.toml")
_COLOURS = {"pass": "32", "regressed": "31", "failed": "31", "inconclusive": "33", "skipped": "33"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares NEW... and the options."""
    from edgewright.benchmarks.harness.protocol import PRESETS

    add = parser.add_argument
    add(
        "bundles", metavar="NEW", type=Path, nargs="*", help="bundles or folders of them (default: those of the limits)"
    )
    add(
        "--against", metavar="BASE", type=Path, nargs="+", help="what they are run against, side by side, in this order"
    )
    add("--baseline", metavar="FILE", type=Path, help="stored baselines instead: weaker, see docs/gate.md")
    add(
        "--limits", metavar="FILE", type=Path, help=f"gates and limits (default: {DEFAULT_LIMITS}, when NEW is missing)"
    )
    add("--data", metavar="DATA", help="inputs to run; with labels, accuracy is judged too")
    add("--metric", metavar="NAME|module:fn", help="how to judge DATA (default: the bundle's metric)")
    add("--preset", choices=tuple(PRESETS), help="how much is measured (default: the limits', else quick)")
    add("--threads", type=int, metavar="N", help="compute threads (default: the target's)")
    add_key(parser, "every bundle, the old ones too")
    add("--json", action="store_true", help="print one JSON document on stdout")
    add("--junit", metavar="FILE", type=Path, help="write JUnit XML")
    add("--markdown", metavar="FILE", type=Path, help="write Markdown")
    add("--github", action="store_true", help="annotations on stderr, and Markdown into the job's summary")
    add("--save-baseline", metavar="FILE", type=Path, help="keep what was measured, for --baseline")
    add("--trust-native-code", action="store_true", help="open engines that are machine code, which runs when opened")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints the verdict, then a line per finding; exit 0 pass, 1 regressed, 75 inconclusive, 77 no target here."""
    from edgewright.benchmarks.gate.baseline import save_baselines
    from edgewright.benchmarks.gate.outputs.github import defused
    from edgewright.benchmarks.gate.session import run_gates

    _check_places(args)
    asked, notes = _asked(args)
    notes += _unused_baseline(asked.gates, args)
    gates = [_overridden(gate, args) for gate in asked.gates]
    _check_asked(gates, args)
    with ProgressLine("gate") as line:

        def say(text: str) -> None:
            with _though_nobody_reads():
                line.say(defused(text) if args.github else text)

        preset, saving = args.preset or asked.preset or "quick", args.save_baseline is not None
        outcome = run_gates(gates, preset, saving=saving, log=say, progress=line.show)
    kept = [_saved_note(outcome, args.save_baseline)] if saving else []
    if saving and outcome.entries:
        save_baselines(args.save_baseline, outcome.entries)
    report = replace(
        outcome.report,
        notes=(*notes, *outcome.report.notes, *_append_records(outcome), *kept),
        only_saved=_only_saved(gates, outcome),
    )
    _write(report, args)
    return report.exit_code


@contextmanager
def _though_nobody_reads() -> Iterator[None]:
    """Around talk on stderr: a reader that left (``2>&1 | head -1``) ends no measurement and changes no verdict."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())  # what is still buffered goes there


def _asked(args: argparse.Namespace) -> tuple[Gates, list[str]]:
    """The gates of the command line or the file, and what of the file is left out."""
    from edgewright.benchmarks.gate.limits import Gates, Limits, read_gates

    path: Path | None = args.limits
    if path is None and not args.bundles:
        if not DEFAULT_LIMITS.is_file():
            raise UsageError(
                f"nothing to judge: there is no bundle here, and no {DEFAULT_LIMITS}",
                "Type: edgewright gate NEW.ewb --against OLD.ewb",
            )
        path = DEFAULT_LIMITS
    found = Gates((), Limits()) if path is None else read_gates(path)
    if not args.bundles:
        if args.against:
            raise UsageError("--against needs the new bundle beside it", "Type: edgewright gate NEW --against OLD")
        if not found.gates:
            raise UsageError(f"{path} has no [[gate]]", "Add one, or name the bundles on the command line.")
        return found, []
    left = [f"{len(found.gates)} [[gate]] of {path} not run: bundles were named"] if found.gates else []
    if path is None and DEFAULT_LIMITS.is_file():
        take = f"--limits {DEFAULT_LIMITS}"
        left = [f"{DEFAULT_LIMITS} is here and not read, since bundles were named; {take} holds them to its defaults"]
    return replace(found, gates=_named(args, found)), left


def _named(args: argparse.Namespace, defaults: Gates) -> tuple[Gate, ...]:
    """A gate for each NEW, in the order of the command line."""
    from edgewright.benchmarks.gate.limits import Gate, name_of

    bundles: Sequence[Path] = args.bundles
    against: Sequence[Path | None] = args.against or [None] * len(bundles)
    if len(against) == 1 and len(bundles) > 1 and against[0] is not None and against[0].is_dir():
        against = [against[0]] * len(bundles)
    if len(against) != len(bundles):
        raise UsageError(
            f"{len(bundles)} bundles and {len(against)} to hold them against",
            "Give as many after --against, in the same order, or one folder that has them by name.",
        )
    if args.against and args.baseline is not None:
        raise UsageError("--against and --baseline exclude one another", "--against is the stronger of the two.")
    return tuple(
        Gate(
            name=name_of(new),
            bundle=new,
            against=base,
            data=defaults.data,
            metric=defaults.metric,
            threads=defaults.threads,
            limits=defaults.defaults,
        )
        for new, base in zip(bundles, against, strict=True)
    )


def _overridden(gate: Gate, args: argparse.Namespace) -> Gate:
    """The command line outranks the file."""
    return replace(
        gate,
        baseline=gate.baseline if gate.is_compared else args.baseline,
        data=args.data or gate.data,
        metric=args.metric or gate.metric,
        threads=gate.threads if args.threads is None else args.threads,
        key=args.key,
        trust_native_code=args.trust_native_code,
    )


def _unused_baseline(gates: Sequence[Gate], args: argparse.Namespace) -> list[str]:
    """The note on gates that ``--baseline`` is not for, since the file says what they are held against."""
    held = [gate.name for gate in gates if gate.is_compared]
    if args.baseline is None or args.bundles or not held:
        return []
    return [f"--baseline {args.baseline.name} is not for {', '.join(held)}: the limits say what to hold against"]


def _only_saved(gates: Sequence[Gate], outcome: Outcome) -> bool:
    """True where nothing was to be judged, and whatever was measured is saved."""
    asked = any(gate.is_judged for gate in gates)
    return not asked and bool(outcome.entries) and len(outcome.entries) == len(outcome.records)


def _check_asked(gates: Sequence[Gate], args: argparse.Namespace) -> None:
    idle = [gate.name for gate in gates if not gate.is_judged]
    if idle and args.save_baseline is None:
        raise UsageError(
            f"{', '.join(idle)}: held against nothing",
            "Give --against BUNDLE (or --baseline FILE), a 'max' in the limits, or --save-baseline FILE.",
        )


def _check_places(args: argparse.Namespace) -> None:
    """Before any long work.

    Raises:
        CannotWriteError, BadInputError, UsageError: what is to be written cannot be, or would replace what is read.
    """
    from edgewright.benchmarks.gate.baseline import require_place
    from edgewright.benchmarks.record import record_path
    from edgewright.core.files import require_apart

    outputs = {"--junit": args.junit, "--markdown": args.markdown, "--save-baseline": args.save_baseline}
    for path in outputs.values():
        _outputs.require_writable(path)
    named = [path for path in (*args.bundles, *(args.against or ())) if not path.is_dir()]
    data = None if args.data is None else Path(args.data)
    require_apart(outputs, [*named, *map(record_path, named), args.limits, data])
    # A file of baselines may be read and saved back: its entries are replaced one by one.
    require_apart({**outputs, "--save-baseline": None}, [args.baseline])
    if args.save_baseline is not None:
        require_place(args.save_baseline)


def _append_records(outcome: Outcome) -> list[str]:
    """Keeps the records beside their bundles; what cannot be kept is said, and changes no verdict."""
    from edgewright.benchmarks.record import append_record, record_path

    problems = []
    for path, record in outcome.records:
        try:
            append_record(record_path(path), record)
        except EdgewrightError as error:
            problems.append(f"{path.name}: its record is not kept: {error.problem}")
    return problems


def _saved_note(outcome: Outcome, path: Path) -> str:
    names = ", ".join(str(entry["name"]) for entry in outcome.entries)
    return f"saved to {path.name}: {names}" if names else f"nothing is saved to {path.name}"


def _write(report: GateReport, args: argparse.Namespace) -> None:
    """Files first: what is printed is the last word."""
    from edgewright.benchmarks.gate.outputs.github import defused, to_annotations
    from edgewright.benchmarks.gate.outputs.junit import to_junit
    from edgewright.benchmarks.gate.outputs.markdown import to_markdown
    from edgewright.benchmarks.gate.outputs.text import to_text
    from edgewright.core.files import write_atomically
    from edgewright.core.jsontext import pretty

    if args.junit is not None:
        write_atomically(args.junit, to_junit(report))
    if args.markdown is not None:
        write_atomically(args.markdown, to_markdown(report).encode())
    if args.github:
        with _though_nobody_reads():
            _console.say(to_annotations(report))
        with _though_nobody_reads():
            _append_summary(to_markdown(report))
    if args.json:
        _console.result(pretty(report.to_json()).decode().rstrip("\n"))
        return
    text = to_text(report, lambda words, which: _console.paint(words, _COLOURS[which]))
    _console.result(defused(text) if args.github else text)


def _append_summary(text: str) -> None:
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if not path:
        _console.warn("GITHUB_STEP_SUMMARY is not set, so there is no job summary to write to")
        return
    try:
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        _console.warn(f"the job summary cannot be written: {error.strerror}")
