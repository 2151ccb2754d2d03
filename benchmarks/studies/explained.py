"""`edgewright explain` held to its word: every layer's precision, and times that add up to the profiled run.

Record, schema "edgewright.study-explain/1", JSON without host, user or path:

created, machine, versions
rows [{model, runtime, precision, threads, plain_us, profiled_us, layers_us, overhead_us, accounted, slower_by,
    layers, precisions, unnamed, problem}]
    accounted is layers and overhead as a share of the profiled run; precisions counts the executed layers of each, and
    unnamed those of which the engine does not say; the bundle was compiled with `--precision` that one, for itself
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import built, data_of, edgewright, load_cases, others, write

SCHEMA = "edgewright.study-explain/1"
RUNTIMES = ("onnxruntime", "openvino")
PRECISIONS = ("fp32", "int8")
ANY_DROP = "1000"
"""What it costs in accuracy is not looked at here."""
Json = dict[str, Any]


def run(names: Sequence[str], into: Path, cases: Path) -> int:
    """Prints a line for each bundle and completes the record; 1 where one could not be explained."""
    load_cases()
    rows: list[Json] = others(into, names)
    for name in names:
        case = built(name, cases)
        for runtime in RUNTIMES:
            for precision in PRECISIONS:
                rows.append(row_of(case, runtime, precision))
                print(line(rows[-1]), flush=True)
                write(into, SCHEMA, {"rows": rows})
    return 1 if any(row["problem"] for row in rows) else 0


def line(row: Json) -> str:
    """One bundle in words."""
    head = f"{row['model']} {row['runtime']} {row['precision']}"
    if row["problem"]:
        return f"{head}: {row['problem']}"
    return (
        f"{head}: {row['plain_us'] / 1e3:.3g} ms, profiled {row['profiled_us'] / 1e3:.3g} ms = layers"
        f" {row['layers_us'] / 1e3:.3g} + overhead {row['overhead_us'] / 1e3:.3g} ({row['accounted']:.1%}),"
        f" {row['layers']} layers, {row['unnamed']} without a precision, {row['precisions']}"
    )


def row_of(case: Any, runtime: str, precision: str) -> Json:
    """One bundle, compiled and explained."""
    from edgewright_cases.process_tree import run_measured
    from edgewright_cases.proving import last_line

    row: Json = {"model": case.name, "runtime": runtime, "precision": precision, "problem": None}
    with TemporaryDirectory(prefix="edgewright-explain-") as folder:
        bundle = Path(folder) / "one.ewb"
        words = ["compile", str(case.model), "--target", f"native/{runtime}", "--precision", precision]
        words += ["--max-drop", ANY_DROP, "-o", str(bundle), *data_of(case)]
        done = run_measured([*edgewright(), *words])
        if done.exit_code == 0:
            done = run_measured([*edgewright(), "explain", str(bundle), "--json"])
        if done.exit_code:
            return {**row, "problem": last_line(done).replace(folder, "")}
    found = json.loads(done.stdout)
    counts = Counter(layer["precision"] or "" for layer in found["layers"])
    unnamed = counts.pop("", 0)
    timing = {key: found["timing"][key] for key in ("plain_us", "profiled_us", "layers_us", "overhead_us")}
    shares = {key: round(found["timing"][key], 4) for key in ("accounted", "slower_by")}
    layers = {"layers": len(found["layers"]), "precisions": dict(sorted(counts.items())), "unnamed": unnamed}
    return {**row, "threads": found["threads"], **{k: round(v, 3) for k, v in timing.items()}, **shares, **layers}
