"""``edgewright compile``: a model, targets and limits in; proven bundles out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli._arguments import parsed
from edgewright.cli._plan_text import show_plan
from edgewright.cli._progress import ProgressLine
from edgewright.core.budget import Budget
from edgewright.core.errors import ExitCode
from edgewright.core.units import parse_bytes, parse_latency, parse_seconds, parse_share, show_bytes
from edgewright.driver.search_budget import parse_search

if TYPE_CHECKING:
    from edgewright.driver.report import CompileReport, TargetReport
    from edgewright.driver.request import CompileRequest

SUMMARY = "compile a trained model for one target or several, and prove its accuracy"
_NOTES_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares MODEL and its options."""
    parser.add_argument("-o", "--out", required=True, type=Path, help="a file for one target, a folder for several")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop, as edgewright plan does")
    add_shared(parser)


def add_shared(parser: argparse.ArgumentParser) -> None:
    """Declares MODEL and the options that ``plan`` has as well."""
    parser.add_argument("model", metavar="MODEL", help="file.onnx, file.pt2, or module:factory (also file.py:factory)")
    parser.add_argument(
        "--target",
        action="append",
        required=True,
        metavar="T",
        help="hardware/runtime, hardware, or a TOML file; repeat for several",
    )
    parser.add_argument("--data", help="calibration data: file.npz, a folder, or module:factory")
    parser.add_argument("--eval-data", metavar="DATA", help="data to judge accuracy on; without it --data is split")
    parser.add_argument(
        "--train-data", metavar="DATA", help="data to recover accuracy with after pruning, and to train for int8 on"
    )
    parser.add_argument("--metric", help="a metric's name, or module:function")
    parser.add_argument(
        "--max-drop", type=parsed(parse_share), default=Budget().max_drop, metavar="1%",
        help="how much the metric may lose, absolute in its unit (default 1%%)",
    )  # fmt: skip
    parser.add_argument(
        "--max-latency", type=parsed(parse_latency), default=(None, None), metavar="8ms|0.5x",
        help="limit of the median, or of its ratio to the float32 original's",
    )  # fmt: skip
    parser.add_argument("--max-size", type=parsed(parse_bytes), metavar="4MB", help="limit of the engine's files")
    parser.add_argument("--precision", default="auto", choices=("auto", "fp32", "fp16", "bf16", "int8", "fp8"))
    parser.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="x=1,3,224,224",
        help="fixes open dimensions, or bounds them: x=1..8,3,224,224",
    )
    parser.add_argument("--recipe", type=Path, help="TOML file with passes and their options")
    parser.add_argument("--plan", type=Path, metavar="FILE", help="take the candidates of a plan, or repeat a bundle")
    parser.add_argument("--golden", type=Path, metavar="FILE", help="samples for the bundle instead of your data's")
    parser.add_argument(
        "--keep", action="append", default=[], metavar="PATTERN", help="modules that lose no channels, such as 'head.*'"
    )
    parser.add_argument(
        "--search-settings", type=parsed(parse_search), metavar="20|30min",
        help="search for training settings first, for so many trials or minutes (off by default)",
    )  # fmt: skip
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from checkpoints of the very same inputs (default), or train anew",
    )
    parser.add_argument(
        "--work",
        type=Path,
        metavar="DIR",
        help="keep checkpoints and trained weights here (default: OUT.work, until done)",
    )
    _add_ways(parser)


def _add_ways(parser: argparse.ArgumentParser) -> None:
    """How it is gone about: the cache, the search, what is written beside the bundle."""
    parser.add_argument("--no-cache", action="store_true", help="compute and measure everything anew, and keep nothing")
    parser.add_argument(
        "--explain-miss", action="store_true", help="say what is otherwise than in what the cache holds"
    )
    parser.add_argument("--trials", type=int, default=12, help="variants of int8 to try per scheme (default 12)")
    parser.add_argument(
        "--time-limit", type=parsed(parse_seconds), metavar="90s|3min",
        help="begin no further candidate or trial after this, and prove the best found until then",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice (default 0)")
    parser.add_argument(
        "--trace", action="store_true", help="measure the model after every pass as well, into the record (minutes)"
    )
    parser.add_argument("--depfile", type=Path, help="write a Makefile rule that names every file read")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write what was timed here (default: OUT.record.json)"
    )
    parser.add_argument("--sbom", type=Path, metavar="FILE", help="write a bill of materials: see edgewright sbom")
    parser.add_argument("--trust-pickle", action="store_true", help="allow .pt files, which can run any code")
    parser.add_argument("--allow-nonfinite", action="store_true", help="allow NaN and infinite weights")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Compiles, and says what became of each target."""
    from edgewright.driver.cache_compile import compile_cached

    bar = ProgressLine(args.model, eager=False)
    request = request_of(args, args.out, bar)
    if args.dry_run:
        if args.trace:
            _console.say("--trace is left out: a dry run measures nothing")
        return show_plan(request, as_json=args.json)
    with bar:
        report = compile_cached(request)
    if args.json:
        _console.result(json.dumps(report.to_json(), indent=2, sort_keys=True))
    else:
        _show(report)
    for one in report.targets:
        if one.problem:
            _console.fail(_console.escape_lines(one.problem), _console.escape_lines(one.remedy), one.exit_code)
    return report.exit_code


def request_of(args: argparse.Namespace, out: Path, bar: ProgressLine) -> CompileRequest:
    """What the shared options ask for.

    Args:
        out: where a bundle would go.
        bar: shows progress and talk.

    Raises:
        UsageError: options that contradict each other.
    """
    from edgewright.driver.request import CompileRequest

    return CompileRequest(
        model=args.model,
        targets=tuple(args.target),
        out=out,
        data=args.data,
        eval_data=args.eval_data,
        train_data=args.train_data,
        keep=tuple(args.keep),
        resume=args.resume,
        work=args.work,
        search_settings=args.search_settings,
        metric=args.metric,
        budget=Budget(args.max_drop, args.max_latency[0], args.max_size, max_latency_ratio=args.max_latency[1]),
        precision=args.precision,
        shapes=tuple(args.shape),
        recipe=args.recipe,
        plan=args.plan,
        golden=args.golden,
        seed=args.seed,
        trials=args.trials,
        time_limit_s=args.time_limit,
        depfile=args.depfile,
        record=args.record,
        sbom=args.sbom,
        trust_pickle=args.trust_pickle,
        allow_nonfinite=args.allow_nonfinite,
        cache=not args.no_cache,
        explain_miss=args.explain_miss,
        trace=args.trace,
        progress=bar.show,
        log=lambda line: bar.talk(_console.escape_lines(line)),
    )


def _show(report: CompileReport) -> None:
    for one in report.targets:
        for note in one.notes[:_NOTES_SHOWN]:
            _console.say(f"  {one.target + ': ' if len(report.targets) > 1 else ''}{_console.escape_lines(note)}")
        if len(one.notes) > _NOTES_SHOWN:
            _console.say(f"  and {len(one.notes) - _NOTES_SHOWN} more lines in the bundle's journal")
    for one in report.targets:
        if one.bundle is not None:
            _console.result(_line(one))


def _line(one: TargetReport) -> str:
    size = show_bytes(one.size_bytes or 0)
    parts = [f"{one.bundle}: {one.candidate}", f"{size} (weights before: {show_bytes(one.original_bytes or 0)})"]
    accuracy = one.accuracy
    if accuracy is None:
        parts.append("accuracy not measured: no data")
    elif accuracy.value is None:
        parts.append(f"{accuracy.metric} unmeasured")
    else:
        mark = "" if accuracy.mark == "measured" else f", {accuracy.mark}"
        parts.append(
            f"{accuracy.metric} {accuracy.value:.4f} (original {accuracy.reference:.4f}, drop {accuracy.drop:+.4f},"
            f" {accuracy.n} samples{mark})"
        )
    if one.from_cache is not None:
        parts.append(f"from the cache, measured on {one.from_cache}")
    return ", ".join(parts)
