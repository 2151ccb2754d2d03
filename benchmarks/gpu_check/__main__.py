"""``python -m edgewright.benchmarks.gpu_check``: see :data:`DESCRIPTION`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from edgewright.benchmarks.gpu_check import record as records
from edgewright.benchmarks.gpu_check.engines import export_onnx
from edgewright.benchmarks.gpu_check.models import NETWORKS
from edgewright.benchmarks.gpu_check.plan import (
    BASELINE,
    BUILD_ORDER,
    PRECISIONS,
    QUICK,
    WAYS,
    CellPlan,
    Effort,
    onnx_name,
)
from edgewright.benchmarks.gpu_check.session import run_cell
from edgewright.benchmarks.gpu_check.table import markdown, summary
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.core.errors import EdgewrightError, ExitCode, TargetAbsentError, UnavailableError, UsageError
from edgewright.targets.detect import this_host

DESCRIPTION = (
    "Time ResNet-50, EfficientNet-Lite0 and MiniLM in every way this machine has, against eager PyTorch and "
    "torch.compile, interleaved. Needs torch and numpy; what else is missing is said and left out."
)
DEFAULT_CELLS = ("resnet50:1", "resnet50:32", "efficientnet-lite0:1", "efficientnet-lite0:32", "minilm:1", "minilm:32")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes are those of the command line; 77 where there is no CUDA and no ``--device cpu``."""
    options = _parser().parse_args(argv)
    try:
        return _run(options)
    except EdgewrightError as error:
        print(f"error: {error.problem}\n{error.remedy}", file=sys.stderr)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted: cells that were finished are in the record", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m edgewright.benchmarks.gpu_check", description=DESCRIPTION)
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default="cuda", help="what to time on (default: cuda)")
    add("--only", metavar="NET:BATCH,...", default=",".join(DEFAULT_CELLS), help="(default: %(default)s)")
    add("--arms", metavar="ARM,...", help=f"a way ({', '.join(WAYS)}), with -fp32, -fp16 or -bf16 or without (all)")
    add("--precisions", metavar="P,...", help="(default: fp32,fp16 on cuda, and bf16 for minilm; fp32 on cpu)")
    add("--minutes", type=float, default=9.0, help="for everything, building included (default: %(default)s)")
    add("--out", type=Path, metavar="FILE", help="the record; cells are added to one that is there")
    add("--onnx-folder", type=Path, metavar="DIR", help="ONNX files that --export wrote on another machine")
    add(
        "--export", type=Path, metavar="DIR", help="only write the ONNX files, on any machine with torch and onnxscript"
    )
    add("--merge", type=Path, nargs="+", metavar="FILE", help="only merge records of one machine into --out")
    add("--table", type=Path, metavar="FILE", help="only print a record as Markdown")
    add("--summary", type=Path, metavar="FILE", help="only print a record as one table")
    add("--quick", action="store_true", help="few short rounds: shows that it works, its figures mean little")
    add("--tf32", choices=("on", "off"), default="off", help="float32 in torch may be rounded to TF32 (default: off)")
    add("--threads", type=int, metavar="N", help="of the CPU (default: all cores)")
    add("--seed", type=int, default=0, help="of weights, inputs and orders (default: 0)")
    return parser


def _run(options: argparse.Namespace) -> int:
    if options.table is not None:
        print(markdown(records.read(options.table)), end="")
        return 0
    if options.summary is not None:
        print(summary(records.read(options.summary)), end="")
        return 0
    if options.merge is not None:
        if options.out is None:
            raise UsageError("--merge needs --out", "Name the file to write.")
        records.write(options.out, records.merged([records.read(path) for path in options.merge]))
        return 0
    cells = [_cell(text) for text in options.only.split(",")]
    if options.export is not None:
        return _export(options, cells)
    _require_device(options.device)
    record, origin = records.begun(), records.origin()
    if options.out is not None and options.out.exists():
        record = records.read(options.out)
        records.require_one_gpu([*records.cells_of(record), origin])
    _measure(options, cells, record, origin)
    return 0


def _measure(
    options: argparse.Namespace, cells: Sequence[tuple[str, int]], record: records.Document, origin: records.Document
) -> None:
    ends = time.monotonic() + 60 * options.minutes
    before = len(records.cells_of(record))
    for done, (name, batch) in enumerate(cells):
        with (
            tempfile.TemporaryDirectory(prefix="edgewright-") as work,
            timing_lock(options.device, lambda line: print(line, file=sys.stderr)),
        ):
            seconds = (ends - time.monotonic()) / (len(cells) - done)
            print(f"{name}, batch {batch}: {seconds:.0f} s", file=sys.stderr, flush=True)
            cell = run_cell(_plan(options, name, batch, time.monotonic() + seconds, Path(work)))
        record = records.with_cell(record, {**origin, **cell})
        if options.out is not None:
            records.write(options.out, record)
    print(markdown({**record, "cells": records.cells_of(record)[before:]}), end="")


def _plan(options: argparse.Namespace, name: str, batch: int, ends: float, work: Path) -> CellPlan:
    return CellPlan(
        network=name,
        batch=batch,
        device=options.device,
        arms=_arms(options, name),
        ends=ends,
        effort=QUICK if options.quick else Effort(),
        out=str(work / "cell.json"),
        place=str(work / "place"),
        work=str(work),
        onnx_folder=None if options.onnx_folder is None else str(options.onnx_folder.resolve()),
        seed=options.seed,
        threads=options.threads or this_host().cores,
        tf32=options.tf32 == "on",
    )


def _precisions(options: argparse.Namespace, network: str) -> tuple[str, ...]:
    if options.precisions is None:
        if options.device == "cpu":
            return ("fp32",)
        return PRECISIONS if network == "minilm" else PRECISIONS[:2]
    chosen = tuple(options.precisions.split(","))
    if unknown := [one for one in chosen if one not in PRECISIONS]:
        raise UsageError(f"unknown precision '{unknown[0]}'", f"There are {', '.join(PRECISIONS)}.")
    return chosen


def _arms(options: argparse.Namespace, network: str) -> tuple[str, ...]:
    """Every way in every precision, or those that were named; eager float32 always, since all are compared with it."""
    precisions = _precisions(options, network)
    every = [f"{way}-{precision}" for way in BUILD_ORDER for precision in precisions]
    if options.arms is None:
        return tuple(dict.fromkeys([BASELINE, *every]))
    chosen: list[str] = [BASELINE]
    for text in options.arms.split(","):
        if text in WAYS:
            chosen += [f"{text}-{precision}" for precision in precisions]
        elif text.rpartition("-")[0] in WAYS and text.rpartition("-")[2] in PRECISIONS:
            chosen.append(text)
        else:
            raise UsageError(f"unknown arm '{text}'", f"Ways are {', '.join(WAYS)}; add -fp32, -fp16 or -bf16.")
    return tuple(dict.fromkeys(chosen))


def _cell(text: str) -> tuple[str, int]:
    name, _, batch = text.partition(":")
    if name not in NETWORKS or not batch.isdigit() or int(batch) < 1:
        raise UsageError(f"--only has '{text}'", f"Write NET:BATCH, such as minilm:32; NET is {', '.join(NETWORKS)}.")
    return name, int(batch)


def _export(options: argparse.Namespace, cells: Sequence[tuple[str, int]]) -> int:
    _require_torch()
    options.export.mkdir(parents=True, exist_ok=True)
    for name, batch in cells:
        for precision in _precisions(options, name):
            export_onnx(name, batch, precision, options.export, options.seed)
            print(onnx_name(name, batch, precision), file=sys.stderr, flush=True)
    return 0


def _require_torch() -> None:
    try:
        import torch  # noqa: F401
    except (ImportError, OSError) as error:
        raise UnavailableError(f"torch cannot be imported: {error}", "pip install torch numpy") from error


def _require_device(device: str) -> None:
    _require_torch()
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise TargetAbsentError(
            f"torch {torch.__version__} sees no CUDA device", "Run it where there is one, or try --device cpu --quick."
        )


if __name__ == "__main__":
    sys.exit(main())
