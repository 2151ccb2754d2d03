"""The search behind `--precision auto`: its minutes, its candidates, and how often it calibrated.

Record, schema "edgewright.study-search/1", JSON without host, user or path:

created, machine, versions
rows [{model, nodes, metric, max_drop, wall_s, search_s, candidates, calibrations, chosen, target, drop, ratio,
    ratio_ci95, problem}]
    one `edgewright compile --precision auto --target native` with nothing in any cache; wall_s of the whole command,
    search_s of the search; calibrations lists what was calibrated, a line each time the calibration samples were run;
    drop is the proven one, ratio the search-grade time as a multiple of the fastest float engine's
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from common import built, data_of, edgewright, load_cases, others, write

SCHEMA = "edgewright.study-search/1"
Json = dict[str, Any]


def run(names: Sequence[str], into: Path, cases: Path, max_drop: str) -> int:
    """Prints a line for each model and completes the record; 1 where a limit was missed."""
    load_cases()
    rows: list[Json] = others(into, names)
    for name in names:
        rows.append(row_of(built(name, cases), max_drop))
        print(line(rows[-1]), flush=True)
        write(into, SCHEMA, {"rows": rows})
    return 1 if any(row["problem"] for row in rows) else 0


def line(row: Json) -> str:
    """One search in words."""
    if row["problem"]:
        return f"{row['model']}: {row['problem']}, {row['wall_s']:.0f} s"
    return (
        f"{row['model']}, {row['nodes']} nodes: {row['wall_s']:.0f} s, {row['candidates']} candidates,"
        f" {len(row['calibrations'])} calibrations; {row['target']} {row['chosen']}: drop {row['drop']:.4f},"
        f" {row['ratio']:.2f}x the fastest float"
    )


def row_of(case: Any, max_drop: str) -> Json:
    """One search, with nothing kept from before."""
    from edgewright_cases.process_tree import run_measured
    from edgewright_cases.proving import last_line

    with TemporaryDirectory(prefix="edgewright-search-") as folder:
        words = ["compile", str(case.model), "--target", "native", "--precision", "auto", "--no-cache", "--json"]
        words += ["--max-drop", max_drop, "-o", str(Path(folder) / "found.ewb"), *data_of(case)]
        done = run_measured([*edgewright(), *words])
        problem = last_line(done).replace(folder, "") if done.exit_code else None
    row: Json = {
        "model": case.name,
        "nodes": len(onnx.load(case.model, load_external_data=False).graph.node),
        "metric": Path(case.metric).name,
        "max_drop": max_drop,
        "wall_s": round(done.wall_s, 1),
        "calibrations": re.findall(r"calibrating (\d+ tensors on \d+ samples)", done.stderr),
        "problem": problem,
    }
    if problem:
        return row
    found = json.loads(done.stdout)["targets"][0]
    searched = found["search"]
    chosen = next(
        one for one in searched["candidates"] if (one["candidate"], one["holds"]) == (found["candidate"], True)
    )
    return row | {
        "search_s": searched["seconds"],
        "candidates": len(searched["candidates"]),
        "chosen": found["candidate"],
        "target": chosen["target"],
        "drop": found["accuracy"]["drop"],
        "ratio": chosen["ratio"],
        "ratio_ci95": chosen["ratio_ci95"],
    }
