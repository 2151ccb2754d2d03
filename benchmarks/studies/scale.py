"""How time and memory grow with a model: validation and graph passes with its nodes, a compile with its weights.

Record, schema "edgewright.study-scale/1", JSON without host, user or path:

created, machine, versions
graphs {target, precision, rows, growth}
    rows [{nodes, left, peak_bytes, steps}], one for each size: how many nodes were read and how many are left, the
        most memory held beyond what the process had before it read, and for each step, in the order they ran,
        {seconds, peak_bytes}: processor seconds (the least of `repeats` processes), and its peak beyond what was held
        before it; the steps are the default pipeline's passes, and what the driver does beside them
    growth {step: {seconds, last_seconds, peak_bytes}}, and `all` for their sum and the whole's peak: the exponent of
        a power law fitted to all sizes, that between the two largest, and that of memory; null for a step that takes
        less than 50 ms, or 10 MB, at the largest size
weights {bytes, target, precision, exit_code, wall_s, cpu_s, peak_bytes, largest_process_bytes, ratio, bundle_bytes}
    of one `edgewright compile` of a model with so many bytes of weights beside it: the most resident memory of the
    whole tree of processes, looked at every 50 ms, and that of its largest process, as the kernel counted it (null
    where it was not asked); pages that processes share, and pages of mapped files, count for each. The ratio is of
    the larger of the two to the bytes
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import synthetic
from common import edgewright, load_cases, write

SCHEMA = "edgewright.study-scale/1"
HERE = Path(__file__).resolve().parent
TARGET = "native/onnxruntime"
GRAPHS = "x86-avx512-vnni/onnxruntime"
LEAST_SECONDS, LEAST_BYTES = 0.05, 10e6
PACKAGES = ("edgewright", "numpy", "onnx", "onnx_ir", "onnxscript", "onnxruntime")
Row = dict[str, Any]


def run(into: Path, sizes: Sequence[int], weight_bytes: int, repeats: int) -> int:
    """Prints what was found and completes the record; 0 sizes or 0 bytes leave that part as it was."""
    known: dict[str, Any] = json.loads(into.read_text()) if into.exists() else {}
    rows: list[Row] = []
    for size in sizes:
        rows.append(row_of(size, repeats))
        known["graphs"] = {"target": GRAPHS, "precision": "fp32", "rows": rows, "growth": growth(rows)}
        write(into, SCHEMA, known, PACKAGES)  # a stopped study is not lost
    for name, one in known["graphs"]["growth"].items() if rows else ():
        print(f"{name:24} {one}")
    if weight_bytes:
        known["weights"] = weights_of(weight_bytes)
        print(known["weights"])
        write(into, SCHEMA, known, PACKAGES)
    return 0


def row_of(nodes: int, repeats: int) -> Row:
    """One size, each time in a fresh process; a step's seconds are the least of them, its memory the most."""
    with TemporaryDirectory(prefix="edgewright-scale-") as folder:
        path = Path(folder) / "mixed.onnx"
        path.write_bytes(synthetic.mixed(nodes).SerializeToString())
        path.with_name("small.onnx").write_bytes(synthetic.mixed(100).SerializeToString())
        found = [in_child(path) for _ in range(repeats if nodes <= 10_000 else 1)]
    row = found[0]
    for name, step in row["steps"].items():
        step["seconds"] = round(min(one["steps"][name]["seconds"] for one in found), 5)
        step["peak_bytes"] = max(one["steps"][name]["peak_bytes"] for one in found)
    row["peak_bytes"] = max(one["peak_bytes"] for one in found)
    print(f"{row['nodes']} nodes: {seconds_of(row):.2f} s, {row['peak_bytes'] / 1e6:.0f} MB", flush=True)
    return row


def in_child(path: Path) -> Row:
    """What scale_child.py says of the model at ``path``."""
    command = [sys.executable, str(HERE / "scale_child.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{path.name} failed:\n{done.stderr[-3000:]}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    return row


def seconds_of(row: Row) -> float:
    """All steps together."""
    return float(sum(step["seconds"] for step in row["steps"].values()))


def growth(rows: Sequence[Row]) -> dict[str, dict[str, float | None]]:
    """The exponents of each step and of all."""
    sizes = [row["nodes"] for row in rows]
    found = {
        name: exponents(
            sizes,
            [row["steps"][name]["seconds"] for row in rows],
            [row["steps"][name]["peak_bytes"] for row in rows],
        )
        for name in rows[0]["steps"]
    }
    found["all"] = exponents(sizes, [seconds_of(row) for row in rows], [row["peak_bytes"] for row in rows])
    return found


def exponents(sizes: Sequence[int], seconds: Sequence[float], peaks: Sequence[float]) -> dict[str, float | None]:
    """How time and memory grow with size: 1 is in proportion, 2 is with its square."""
    if len(sizes) < 2:
        return {"seconds": None, "last_seconds": None, "peak_bytes": None}
    timed, held = seconds[-1] >= LEAST_SECONDS, peaks[-1] >= LEAST_BYTES
    return {
        "seconds": exponent(sizes, seconds) if timed else None,
        "last_seconds": exponent(sizes[-2:], seconds[-2:]) if timed else None,
        "peak_bytes": exponent(sizes[-3:], peaks[-3:]) if held else None,
    }


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Of the power law that least squares fits in logarithms."""
    return round(float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-9)), 1)[0]), 3)


def weights_of(weight_bytes: int) -> dict[str, Any]:
    """One compile of a model of that weight; everything it makes is removed."""
    load_cases()
    from edgewright_cases.process_tree import run_measured
    from edgewright_cases.proving import last_line

    with TemporaryDirectory(prefix="edgewright-scale-") as folder:
        path = synthetic.heavy(Path(folder), weight_bytes)
        bundle = Path(folder) / "heavy.ewb"
        command = [*edgewright(), "compile", str(path), "--target", TARGET, "--precision", "fp32", "--no-cache"]
        done = run_measured([*command, "-o", str(bundle)])
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        held = path.with_name("heavy.data").stat().st_size
        return {
            "bytes": held,
            "target": TARGET,
            "precision": "fp32",
            "exit_code": done.exit_code,
            "problem": last_line(done).replace(folder, "") if done.exit_code else None,
            "wall_s": round(done.wall_s, 1),
            "cpu_s": round(done.cpu_s, 1),
            "peak_bytes": done.peak_bytes,
            "largest_process_bytes": largest,
            "ratio": round(max(done.peak_bytes, largest) / held, 3),
            "bundle_bytes": bundle.stat().st_size if bundle.exists() else None,
        }
