"""``bench --against`` and ``bench --self-test``: what runs in interleaved pairs, and what is said of it."""

from __future__ import annotations

import argparse
import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli._progress import ProgressLine
from edgewright.core.errors import EdgewrightError, ExitCode, UsageError

if TYPE_CHECKING:
    from edgewright.benchmarks.gate.findings import Failure
    from edgewright.benchmarks.gate.session import Outcome
    from edgewright.benchmarks.record import Comparison, Record

COLOURS = {"pass": "32", "regressed": "31", "inconclusive": "33", "failed": "31", "skipped": "33"}


def require_single_stream(args: argparse.Namespace) -> None:
    """Lets through what pairs can be made of.

    Raises:
        UsageError: another scenario, or both ways to compare.
    """
    if args.against is not None and args.self_test:
        raise UsageError("--against and --self-test are two comparisons", "Give one of them.")
    if args.scenario != "single-stream":
        raise UsageError(
            f"scenario {args.scenario} is not compared in pairs", "Leave --scenario out, or --against and --self-test."
        )


def against(args: argparse.Namespace) -> Outcome:
    """Runs every bundle against ``--against``, in one session, with the gate's default limits.

    Raises:
        UsageError: as :func:`require_single_stream`.
    """
    from edgewright.benchmarks.gate.limits import Gate, name_of
    from edgewright.benchmarks.gate.session import run_gates

    require_single_stream(args)
    gates = [
        Gate(
            name_of(path),
            path,
            against=args.against,
            data=args.data,
            metric=args.metric,
            threads=args.threads,
            key=args.key,
            trust_native_code=args.trust_native_code,
        )
        for path in args.bundles
    ]
    with ProgressLine(f"against {args.against.name}") as line:
        return run_gates(gates, args.preset, log=line.say, progress=line.show)


def show_outcome(outcome: Outcome) -> None:
    """Prints the verdict and a line per finding."""
    from edgewright.benchmarks.gate.outputs.text import to_text

    _console.result(to_text(outcome.report, lambda text, word: _console.paint(text, COLOURS[word])))


def self_test(path: Path, args: argparse.Namespace) -> Record:
    """Runs a bundle against itself: all that differs is this machine's noise.

    Raises:
        EdgewrightError: the bundle cannot be measured here.
    """
    from edgewright.benchmarks.pairs.compared import compare_bundles
    from edgewright.benchmarks.pairs.duel import Pairing
    from edgewright.core.bundle import open_bundle

    require_single_stream(args)
    bundle = open_bundle(path, args.key)
    pairing = Pairing(bundle, bundle, args.data, args.metric, args.threads, trust_native_code=args.trust_native_code)
    with ProgressLine(path.name) as line:
        found, failures = compare_bundles([pairing], args.preset, every_look=True, log=line.say, progress=line.show)
    for failure in failures:
        raise _as_it_was(failure)
    return found[0].record


def _as_it_was(failure: Failure) -> EdgewrightError:
    """A failure as the error it came from: with its exit code."""
    error = EdgewrightError(failure.problem, failure.remedy)
    error.exit_code = failure.exit_code
    return error


def self_test_lines(record: Record) -> list[str]:
    """What the machine's noise is, and which slowdown can be seen through it."""
    comparison = record.comparison
    assert comparison is not None
    medians = {arm: [statistics.median(run.ns) for run in record.runs if run.arm == arm] for arm in ("base", "new")}
    ratios = [math.log(new / base) for new, base in zip(medians["new"], medians["base"], strict=True)]
    name = _console.escape(f"{record.subject.model} {record.target.name} {record.subject.precision}")
    effect = comparison.minimum_detectable_effect
    seen = "none would be found" if effect is None else f"a slowdown of {effect:.1%} would be found 9 times in 10"
    verdict = _console.paint(comparison.verdict, COLOURS[comparison.verdict])
    return [
        f"self-test: {name} against itself, {comparison.pairs} pairs of fresh processes",
        f"  noise floor: a pair differs by {statistics.stdev(ratios):.2%} (standard deviation)",
        f"  minimum detectable effect: {seen}; up to {comparison.delta:.0%} counts as the same",
        f"  verdict on no change at all: {verdict}, ratio {_ratio(comparison)}",
    ]


def code_of(record: Record) -> ExitCode:
    """Of a self-test: where nothing changed nothing may be found, and noise that hides 5 % is no ground for a gate."""
    if record.comparison is None:
        return ExitCode.OK
    codes = {"pass": ExitCode.OK, "regressed": ExitCode.LIMIT_MISSED, "inconclusive": ExitCode.RETRYABLE}
    return codes[record.comparison.verdict]


def _ratio(comparison: Comparison) -> str:
    interval = comparison.ci95
    if interval is None:
        return f"{comparison.ratio:.3f}"
    return f"{comparison.ratio:.3f} (95 %: {interval[0]:.3f} to {interval[1]:.3f})"
