"""What the other quantisers do to the accuracy of the cases.

    peers/bin/python benchmarks/peers/quantise.py CASE... --cases DIR --out DIR [--record FILE]

`--cases` holds folders that `benchmarks/cases build` made; models go to `--out/CASE/`. Each scheme runs in a process of
its own, so that one that crashes or runs out of memory is a row and not the end. Rows of cases that are not asked for
stay as they are in the record.

Record, schema "edgewright.peers.accuracy/1":

    machine   {cpu, cores, os}: what int8 does to accuracy depends on the instructions it runs with
    versions  of python, the quantisers and the engines
    cases     {name: {metric, higher_is_better, reference (the float model), max_drop, schemes: {name: row}}}

and a row is

    status       "built", or "failed" with `stage` and `reason`
    value, drop  the metric, and how much worse than float it is: negative where better; null where not a number
    holds        drop <= max_drop
    size_bytes

Where a case has a second metric, its figures are there under the same names with `second_` before them, and `holds`
needs both.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engines import load_cases, machine, open_model, versions
from schemes import SCHEMES, Feeds, Scheme

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "edgewright.peers.accuracy/1"
DEADLINE_S = 900
Row = dict[str, str | float | bool | None]


@dataclass(frozen=True)
class Limit:
    """A metric of a case, its value for the float model, and how much may be lost."""

    metric: str
    higher_is_better: bool
    reference: float
    max_drop: float


def build_and_score(folder: Path, scheme: Scheme, out: Path) -> Row:
    """One row, computed in this process."""
    load_cases()
    from edgewright_cases.case import read_case
    from edgewright_cases.scoring import samples, score

    case = read_case(folder)
    original = open_model(case.model, "onnxruntime")
    out.mkdir(parents=True, exist_ok=True)

    def calibration() -> Iterator[Feeds]:
        for feeds, _ in samples(case.data, dict(original.ranks)):
            yield feeds

    row: Row = {"what": scheme.what, "engine": scheme.engine}
    stage = "quantise"
    try:
        path = scheme.build(case.model, calibration(), out)
        stage = "open"
        compiled = open_model(path, scheme.engine)
        stage = "score"
        values: Row = {}
        for key, metric in (("value", case.metric), ("second_value", case.second_metric)):
            if metric is not None:
                values[key] = score(case, compiled.run, dict(original.ranks), original.run, metric)
    except Exception as error:  # noqa: BLE001  whatever a peer raises is its result
        return {**row, "status": "failed", "stage": stage, "reason": one_line(error, folder, out)}
    weights = path.with_suffix(".bin")
    size = path.stat().st_size + (weights.stat().st_size if weights.exists() else 0)
    return {**row, "status": "built", **values, "size_bytes": size}


def one_line(error: Exception, *folders: Path) -> str:
    """The beginning of what was raised on one line, without the paths of this machine."""
    text = " ".join(str(error).split())
    for folder in folders:
        text = text.replace(str(folder.resolve()), folder.name).replace(str(folder), folder.name)
    return f"{type(error).__name__}: {text}"[:200]


def in_child(folder: Path, scheme: Scheme, out: Path) -> Row:
    """The row of `build_and_score`, or what became of its process."""
    out.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(Path(__file__).resolve()), folder.name, "--cases", str(folder.parent.resolve())]
    command += ["--out", str(out.resolve()), "--one", scheme.name]
    failed: Row = {"what": scheme.what, "engine": scheme.engine, "status": "failed", "stage": "process"}
    try:
        # Run there: onnxruntime litters the folder it is called from.
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=out)
    except subprocess.TimeoutExpired:
        return {**failed, "reason": f"not finished after {DEADLINE_S} s"}
    if done.returncode != 0:
        return {**failed, "reason": f"the process ended with {done.returncode}"}
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def measure_case(folder: Path, out: Path) -> dict[str, object]:
    """All schemes of one case, judged against the case's limits."""
    load_cases()
    from edgewright_cases.case import read_case
    from edgewright_cases.scoring import load_metric, score

    case = read_case(folder)
    original = open_model(case.model, "onnxruntime")
    limits: dict[str, Limit] = {}
    for prefix, reference, limit in (
        ("", case.metric, case.max_drop),
        ("second_", case.second_metric, case.second_max_drop),
    ):
        if reference is not None:
            metric = load_metric(reference)
            value = score(case, original.run, dict(original.ranks), original.run, reference)
            limits[prefix] = Limit(metric.name, metric.higher_is_better, value, limit or 0.0)
    rows: dict[str, Row] = {}
    for scheme in SCHEMES:
        row = rows[scheme.name] = judge(in_child(folder, scheme, out), limits)
        print(f"{case.name:20} {scheme.name:18} {row}", file=sys.stderr)
    return {f"{prefix}{key}": value for prefix, limit in limits.items() for key, value in asdict(limit).items()} | {
        "schemes": rows
    }


def judge(row: Row, limits: dict[str, Limit]) -> Row:
    """The row with its drops and whether all limits hold; not a number does not hold and is written as null."""
    if row["status"] != "built":
        return row
    holds = True
    added: Row = {}
    for prefix, entry in limits.items():
        value = float(row[f"{prefix}value"] or 0)
        drop = entry.reference - value if entry.higher_is_better else value - entry.reference
        known = math.isfinite(drop)
        holds = holds and known and drop <= entry.max_drop
        added |= {f"{prefix}value": value if known else None, f"{prefix}drop": drop if known else None}
    return {**row, **added, "holds": holds}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", metavar="CASE")
    parser.add_argument("--cases", type=Path, required=True, help="folder of built cases")
    parser.add_argument("--out", type=Path, required=True, help="where the models go")
    parser.add_argument("--record", type=Path, default=Path(__file__).with_name("accuracy.json"))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.one:
        scheme = next(scheme for scheme in SCHEMES if scheme.name == options.one)
        print(json.dumps(build_and_score(options.cases / options.names[0], scheme, options.out)))
        return 0
    for name in options.names:
        measured = measure_case(options.cases / name, options.out / name)
        record = json.loads(options.record.read_text(encoding="utf-8")) if options.record.is_file() else {"cases": {}}
        record |= {
            "schema": SCHEMA,
            "machine": machine(),
            "versions": versions("nncf", "onnx", "onnxruntime", "openvino", "torch"),
        }
        record["cases"][name] = measured
        options.record.write_text(
            json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
