"""Compiles cases for GPUs that are not here: what is built, what is written in which precision, what it still answers.

Record, schema "edgewright.engines/1", sorted JSON without host, user or path:

    date, machine, versions
    cases {name: {precision: {target: {row}}}}, and a row is

    exit_code, problem   as the product says; the operator's name where a runtime cannot take the model
    candidate, size_bytes    of what was chosen, and of its files
    engine_bytes         of the engine itself; null where it is still to be built on the device
    reference, value, drop, n, mark   the metric on the proof set, by the typed model on this CPU
    held                 whether the case's limit is kept by that figure
    weights              bytes of the typed model's weights as a share of the same weights in float32
    macs                 precision -> share of the multiply-accumulates written in it
    planned              precision -> layers written in 8 bits that the builder says it planned so; null where it is mum
    executed             what the engine says of itself: unknown, because an engine can be built here but not opened
    wall_s               of the one command for all targets
"""

from __future__ import annotations

import datetime as dt
import json
import sys
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .case import Case
from .process_tree import run_measured
from .proving import edgewright, last_line, machine, versions, write_record

SCHEMA = "edgewright.engines/1"
TARGETS = ("rtx-ampere/tensorrt", "rtx-ada/tensorrt", "rtx-blackwell/tensorrt")
PRECISIONS = ("fp16", "int8")
RECORD = Path(__file__).resolve().parents[1] / "results" / "engines.json"
Json = dict[str, Any]


def build_all(cases: Iterable[Case], precisions: Sequence[str], record: Path) -> Json:
    """Build each case in each precision for all targets, completing `record` after each."""
    known: Json = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if known.get("schema") != SCHEMA:
        known = {"schema": SCHEMA, "cases": {}}
    for case in cases:
        for precision in precisions:
            with TemporaryDirectory(prefix="edgewright-engines-") as folder:
                rows = build(case, precision, Path(folder))
            known["cases"].setdefault(case.name, {})[precision] = rows
            tool = {"tensorrt_rtx": metadata.version("tensorrt-rtx-cu13")}
            known |= {"date": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine()}
            known |= {"versions": versions() | tool}
            write_record(record, known)
            print("\n".join(table_rows(case.name, precision, rows)), file=sys.stderr)
    return known


def build(case: Case, precision: str, out: Path) -> Json:
    """One command for all targets, and what became of each."""
    done = run_measured(command(case, precision, out))
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {"targets": []}
    if not report["targets"]:
        problem = last_line(done).replace(f"{case.folder}/", "")
        return {target: {"exit_code": done.exit_code, "problem": problem} for target in TARGETS}
    return {entry["target"]: row(case, entry) | {"wall_s": round(done.wall_s, 1)} for entry in report["targets"]}


def command(case: Case, precision: str, out: Path) -> list[str]:
    """The words a user would type."""
    words = [*edgewright(), "compile", str(case.model), "-o", str(out), "--precision", precision, "--json"]
    words.append("--no-cache")
    for target in TARGETS:
        words += ["--target", target]
    words += ["--data", str(case.data), "--eval-data", str(case.eval_data)]
    words += ["--metric", case.metric, "--max-drop", repr(case.max_drop)]
    for shape in (case.shapes or "").split():
        words += ["--shape", shape]
    return words


def row(case: Case, entry: Mapping[str, Any]) -> Json:
    """One target's row, from the product's report and the journal in its bundle."""
    accuracy = entry["accuracy"] or {}
    found: Json = {
        "exit_code": entry["exit_code"],
        "problem": None if not entry["problem"] else entry["problem"].replace(f"{case.folder}/", ""),
        "candidate": entry["candidate"],
        "size_bytes": entry["size_bytes"],
        **{name: accuracy.get(name) for name in ("reference", "value", "drop", "n", "mark")},
    }
    if entry["bundle"] is None:
        return found
    with zipfile.ZipFile(entry["bundle"]) as bundle:
        journal = json.loads(bundle.read("journal.json"))
        manifest = json.loads(bundle.read("manifest.json"))
    sizes = {item["path"]: item["bytes"] for item in manifest["files"]}
    written = journal["precisions"]["written"]
    return found | {
        "engine_bytes": None if manifest["backend"]["pending"] else sizes[f"engine/{manifest['backend']['entry']}"],
        "held": found["drop"] is not None and found["drop"] <= case.max_drop,
        "weights": written["weight_ratio"],
        "macs": written["shares"],
        "planned": manifest["backend"]["properties"].get("planned"),
        "executed": journal["precisions"]["executed"],
    }


def as_meant(rows: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether each target has an engine that keeps the limit, or a refusal that names the operator."""
    return all(
        (one["exit_code"] == 0 and one["held"] and one["engine_bytes"]) or (one["exit_code"] == 69 and one["problem"])
        for one in rows.values()
    )


def table(record: Mapping[str, Any]) -> str:
    """The record as a Markdown table, one line for a case and precision."""
    head = [
        "case",
        "precision",
        "built for",
        "engine",
        "metric drop",
        "weights",
        "8-bit MACs",
        "layers planned so",
        "held",
    ]
    lines = [
        line
        for name, by_precision in sorted(record["cases"].items())
        for precision, rows in sorted(by_precision.items())
        for line in table_rows(name, precision, rows)
    ]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines])


def page(record: Mapping[str, Any]) -> str:
    """What the documentation shows of the record: where and when, then the table."""
    where, when = record["machine"], record["date"]
    rtx = record["versions"]["tensorrt_rtx"]
    head = (
        f"Built by TensorRT-RTX {rtx} without a GPU ({where['cores']} cores of an {where['cpu']}, {when}; record:\n"
        "[engines.json](../benchmarks/results/engines.json)). The drop is the typed model's on that CPU, on samples\n"
        "that nothing was decided with; weights are beside the same in float32.\n"
    )
    return f"{head}\n{table(record)}"


def table_rows(name: str, precision: str, rows: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line for all targets of a case and precision: they differ in the size of the engine alone."""
    built = {target: one for target, one in rows.items() if one.get("engine_bytes")}
    if not built:
        said = next(iter(rows.values()))
        first = str(said["problem"]).partition(";")[0].partition(" (scopes")[0].rpartition(" is out: ")[2]
        return [f"| {name} | {precision} | exit {said['exit_code']} | | | | | | {first} |"]
    one = next(iter(built.values()))
    sizes = [entry["engine_bytes"] / 1e6 for entry in built.values()]
    codes = sum(share for kind, share in one["macs"].items() if kind in ("int8", "fp8"))
    cells = [
        name,
        precision,
        ", ".join(target.partition("/")[0] for target in built),
        " to ".join(dict.fromkeys(f"{size:.1f}" for size in (min(sizes), max(sizes)))) + " MB",
        f"{max(entry['drop'] for entry in built.values()):+.4f}",
        f"{one['weights']:.2f}",
        f"{codes:.0%}",
        one.get("planned") or "",
        "yes" if all(entry["held"] for entry in built.values()) else "**no**",
    ]
    return [f"| {' | '.join(cells)} |"]
