"""``edgewright blame``: which pass, then which layer, hurts accuracy most, and the smallest piece that still fails."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.cli import _console
from edgewright.cli.inspect import is_bundle
from edgewright.core.errors import ExitCode

if TYPE_CHECKING:
    from edgewright.driver.blame import BlameReport

SUMMARY = "find the pass, then the layer, that hurts accuracy most; on failure, the smallest piece that still fails"
_LAYERS_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares MODEL or BUNDLE and its options."""
    parser.add_argument("subject", metavar="MODEL|BUNDLE", help="a model, as for compile; a bundle, or its folder")
    parser.add_argument(
        "--data", help="samples: file.npz, a folder, or module:factory; without --eval-data it is split"
    )
    parser.add_argument("--eval-data", metavar="DATA", help="data to judge accuracy on")
    parser.add_argument("--metric", help="a metric's name, or module:function")
    parser.add_argument(
        "--target", default="native/onnxruntime", metavar="T",
        help="hardware/runtime, or a TOML file (default: native/onnxruntime)",
    )  # fmt: skip
    parser.add_argument(
        "--precision", default="auto", choices=("auto", "fp32", "fp16", "bf16", "int8", "fp8"),
        help="what is compiled to (default: int8, where the target has it)",
    )  # fmt: skip
    parser.add_argument("--recipe", type=Path, help="TOML file with passes and their options")
    parser.add_argument("--shape", action="append", default=[], metavar="x=1,3,224,224", help="fixes open dimensions")
    parser.add_argument("--against", metavar="MODEL", help="for a bundle: the model it was compiled from")
    parser.add_argument(
        "--samples",
        type=int,
        default=8,
        metavar="N",
        help="samples that errors are over (default 8); each is held whole",
    )
    parser.add_argument(
        "--check",
        metavar="CMD",
        help="called as CMD model.onnx inputs.npz on ever smaller pieces: 0 is good, else fails",
    )
    parser.add_argument(
        "--check-seconds", type=float, default=60.0, metavar="S", help="how long one call may take (default 60)"
    )
    parser.add_argument("-o", "--out", type=Path, metavar="FOLDER", help="where the smallest failing piece is written")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random choice (default 0)")
    parser.add_argument("--trust-pickle", action="store_true", help="allow .pt files, which can run any code")
    parser.add_argument("--allow-nonfinite", action="store_true", help="allow NaN and infinite weights")
    parser.add_argument("--json", action="store_true", help="print one JSON document on stdout")


def run(args: argparse.Namespace) -> ExitCode:
    """Prints the tables; exit 1 where a pass is beyond what it allows itself, or the check fails."""
    from edgewright.driver.blame import BlameRequest, blame

    request = BlameRequest(
        subject=args.subject,
        target=args.target,
        data=args.data,
        eval_data=args.eval_data,
        metric=args.metric,
        precision=args.precision,
        recipe=args.recipe,
        against=args.against,
        check=args.check,
        check_seconds=args.check_seconds,
        samples=args.samples,
        out=args.out,
        shapes=tuple(args.shape),
        seed=args.seed,
        trust_pickle=args.trust_pickle,
        allow_nonfinite=args.allow_nonfinite,
        log=lambda line: _console.say(_console.escape_lines(line)),
    )
    report = blame(request, is_bundle=is_bundle(Path(args.subject)))
    if args.json:
        _console.result(json.dumps(report.to_json(), indent=2, sort_keys=True))
    else:
        _show(report)
    return report.exit_code


def _show(report: BlameReport) -> None:
    over = f"{report.metric} on {report.proof_samples} samples, " if report.metric else ""
    head = f"{report.model} as {report.precision} for {report.target}: {over}errors on {report.samples}"
    _console.result(_bold(_console.escape_lines(head)))
    _console.result(_table(_passes(report)))
    if report.layers:
        name = report.guilty_pass.name if report.guilty_pass else "the last pass"
        _console.result("")
        _console.result(_bold(f"layers behind {_console.escape(name)}, the most harmful first"))
        _console.result(_table(_layers(report)))
        if len(report.layers) > _LAYERS_SHOWN:
            _console.result(f"and {len(report.layers) - _LAYERS_SHOWN} more (--json has all)")
    _console.result("")
    for word, found in (("pass", report.guilty_pass), ("layer", report.guilty_layer)):
        if found is None:
            _console.result(f"{word} to blame: none")
        else:
            _console.result(f"{word} to blame: {_console.escape(found.name)}: {_console.escape_lines(found.because)}")
    if report.failed:
        _console.result(f"fails: {_console.escape_lines(report.failed)}")
    piece = report.reproducer
    if piece is not None:
        least = "" if piece.minimal else ", the search was ended early"
        _console.result(
            f"reproducer: {_console.escape(piece.folder)}: {len(piece.nodes)} of {piece.of} nodes still fail"
            f" ({piece.judged} pieces judged{least})"
        )
        for name in piece.nodes[:_LAYERS_SHOWN]:
            _console.result(f"  {_console.escape(name)}")
    for note in report.notes:
        _console.say(_console.escape_lines(note))


def _passes(report: BlameReport) -> list[tuple[str, ...]]:
    checked = any(row.check for row in report.passes)
    rows = [("pass", "effect", report.metric or "metric", "loss", "moved", "away", *(["check"] if checked else []), "")]
    for row in report.passes:
        remark = "fails" if row.failed else row.note
        figures = (_plain(row.value), _signed(row.loss), _figure(row.moved), _figure(row.away))
        rows.append((row.name, row.effect, *figures, *([row.check or "-"] if checked else []), remark))
    return rows


def _layers(report: BlameReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("layer", "op", "precision", "effect", "alone", "accumulated", "")]
    for row in report.layers[:_LAYERS_SHOWN]:
        including = f"with {', '.join(row.including)}" if row.including else ""
        figures = (_figure(row.effect), _figure(row.alone), _figure(row.accumulated))
        rows.append((row.name, row.op, row.precision, *figures, row.note or including))
    return rows


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:.3g}"


def _plain(number: float | None) -> str:
    return "-" if number is None else f"{number:.4f}"


def _signed(number: float | None) -> str:
    return "-" if number is None else f"{number:+.4f}"


def _bold(text: str) -> str:
    return _console.paint(text, "1")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    escaped = [[_console.escape(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in escaped) for column in range(len(escaped[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in escaped
    )
