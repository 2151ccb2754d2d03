"""Compiles cases with the installed product and judges what came out with the cases' own scoring.

Record, schema "edgewright.cases/1", sorted JSON without host, user or path:

    date, machine, versions, precision
    cases {name: {case}}, and a case is

    metric, max_drop, second_metric, second_max_drop   what it is judged by; null where there is no second metric
    exit_code, wall_s, cpu_s, peak_bytes   of the one compile for both runtimes, the whole tree of processes
    problem              what the product said where it made nothing; null
    runtimes {name: {row}}, and a row is

    exit_code, candidate, precision, size_bytes, original_size_bytes   as the product says
    reference, value, drop, n                    the metric on the product's own proof set, as it says
    whole {reference, value, drop, n}            the same over all evaluation data, by this folder's scoring
    second {reference, value, drop, n}           the second metric likewise, or null
    held                 every stated limit, by the product's figure, by `whole` and by `second`
    kept_float           layers the product left in float to keep the accuracy
    float_reasons        what else it left in float, and why, as its journal says
    float_kernels        heavy layers that the runtime then computes in float, by kind
    unsaid_float         how many more those are, in int8, than `float_reasons` explains: to be 0
    verify_exit_code     of `edgewright verify` on the bundle
    problem              why there is no bundle, or which limit was missed; null
    refused_as_meant     exit code 69 with the words the case expects: the operators the runtime cannot take
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from .case import Case
from .compiled import Compiled, opened
from .kernels import unsaid
from .process_tree import Finished, run_measured
from .scoring import Feeds, Metric, load_metric, onnxruntime_runner, samples

SCHEMA = "edgewright.cases/1"
RUNTIMES = ("onnxruntime", "openvino")
RECORD = Path(__file__).resolve().parents[1] / "results" / "cases.json"
Json = dict[str, Any]


def prove(case: Case, precision: str, out: Path, refusals: Mapping[str, Sequence[str]]) -> Json:
    """Compile `case` for both runtimes into folder `out` and judge each bundle.

    Args:
        refusals: by runtime that may or must refuse the case, the words its message must hold.
    """
    done = run_measured(compile_command(case, precision, out))
    try:
        report = json.loads(done.stdout)
    except ValueError:
        report = {"targets": []}
    found = {entry["target"].partition("/")[2]: entry for entry in report["targets"]}
    return {
        "metric": Path(case.metric).name,
        "max_drop": case.max_drop,
        "second_metric": None if case.second_metric is None else Path(case.second_metric).name,
        "second_max_drop": case.second_max_drop,
        "exit_code": done.exit_code,
        "wall_s": round(done.wall_s, 1),
        "cpu_s": round(done.cpu_s, 1),
        "peak_bytes": done.peak_bytes,
        "problem": None if found else last_line(done),
        "runtimes": {
            runtime: judged(case, entry) | {"refused_as_meant": refused(entry, refusals.get(runtime))}
            for runtime, entry in sorted(found.items())
        },
    }


def compile_command(case: Case, precision: str, out: Path) -> list[str]:
    """The words a user would type."""
    command = [*edgewright(), "compile", str(case.model), "-o", str(out), "--precision", precision, "--json"]
    command.append("--no-cache")
    for runtime in RUNTIMES:
        command += ["--target", f"native/{runtime}"]
    command += ["--data", str(case.data), "--eval-data", str(case.eval_data)]
    command += ["--metric", case.metric, "--max-drop", repr(case.max_drop)]
    for shape in (case.shapes or "").split():
        command += ["--shape", shape]
    return command


def edgewright() -> list[str]:
    """The installed command: the script beside this interpreter, or the module where there is none."""
    script = Path(sys.executable).with_name("edgewright")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "edgewright"]


def judged(case: Case, entry: Mapping[str, Any]) -> Json:
    """One runtime's row from the product's report and from what its bundle does here."""
    accuracy = entry["accuracy"] or {}
    row: Json = {
        "exit_code": entry["exit_code"],
        "candidate": entry["candidate"],
        "precision": entry["precision"],
        "size_bytes": entry["size_bytes"],
        "original_size_bytes": entry["original_bytes"],
        **{name: accuracy.get(name) for name in ("reference", "value", "drop", "n")},
        "problem": None if not entry["problem"] else entry["problem"].replace(f"{case.folder}{os.sep}", ""),
        **dict.fromkeys(("whole", "second", "held", "verify_exit_code", "unsaid_float", "float_kernels")),
        "kept_float": [],
        "float_reasons": [],
    }
    if entry["bundle"] is None:
        return row
    with opened(Path(entry["bundle"])) as bundle:
        whole, second = scores(case, bundle)
        row |= {"whole": whole, "second": second}
        row |= {"kept_float": bundle.kept_float, "float_reasons": bundle.float_reasons}
        row |= {"float_kernels": bundle.float_kernels, "unsaid_float": 0}
    if row["precision"] == "int8":
        row["unsaid_float"] = unsaid(row["float_kernels"], row["float_reasons"])
    row["held"] = held(case, row)
    row["verify_exit_code"] = run_measured([*edgewright(), "verify", entry["bundle"]]).exit_code
    return row


def scores(case: Case, bundle: Compiled) -> tuple[Json, Json | None]:
    """The case's metric and its second one over all evaluation data, the engine and the original run once each."""
    original, ranks = onnxruntime_runner(case.model, threads=1)
    names = [name for name in (case.metric, case.second_metric) if name is not None]
    pairs = [(load_metric(name), load_metric(name)) for name in names]
    for feeds, label in samples(case.eval_data, ranks):
        answer, right = bundle.run(feeds), original(feeds)
        for ours, reference in pairs:
            expected: np.ndarray | Feeds = right if ours.compares_to == "original" else np.asarray(label)
            ours.update(answer, expected)
            reference.update(right, expected)
    found = [figures(*pair) for pair in pairs]
    return found[0], found[1] if len(found) > 1 else None


def figures(ours: Metric, reference: Metric) -> Json:
    before, after, each = reference.compute(), ours.compute(), ours.per_sample()
    drop = before - after if ours.higher_is_better else after - before
    return {"reference": before, "value": after, "drop": drop, "n": None if each is None else len(each)}


def held(case: Case, row: Mapping[str, Any]) -> bool:
    """Whether no limit is exceeded, by anybody's figure; a drop that is not a number holds nothing."""
    drops = [(row["drop"], case.max_drop), (row["whole"]["drop"], case.max_drop)]
    if row["second"] is not None:
        drops.append((row["second"]["drop"], case.second_max_drop))
    # The product compares exactly and so does this; the sums of the two differ in their last digits.
    return all(drop is not None and limit is not None and drop <= limit + 1e-9 for drop, limit in drops)


def refused(entry: Mapping[str, Any], words: Sequence[str] | None) -> bool:
    """Whether the runtime is allowed to refuse and did, clearly."""
    return words is not None and entry["exit_code"] == 69 and all(word in entry["problem"] for word in words)


def last_line(done: Finished) -> str:
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"ended with {done.exit_code} and no word"


def as_meant(case: Mapping[str, Any]) -> bool:
    """Whether a case's row in the record is what it should be."""
    rows = case["runtimes"].values()
    return len(rows) == len(RUNTIMES) and all(
        row["refused_as_meant"]
        or (row["exit_code"] == 0 and row["held"] and row["verify_exit_code"] == 0 and row["unsaid_float"] == 0)
        for row in rows
    )


def prove_all(
    cases: Iterable[tuple[Case, Mapping[str, Sequence[str]]]], precision: str, record: Path, bundles: Path | None = None
) -> Json:
    """Prove each case, keeping what `record` says of other cases, and write it after each; the bundles stay if asked.

    Args:
        cases: each with its refusals, as :func:`prove` takes them.
        bundles: folder to leave the bundles in, `CASE/native-RUNTIME.ewb`; a temporary one where None.
    """
    known = read_record(record, precision)
    for case, refusals in cases:
        with TemporaryDirectory(prefix="edgewright-prove-") as temporary:
            row = prove(case, precision, (bundles or Path(temporary)) / case.name, refusals)
        known["cases"][case.name] = row
        known |= {"date": dt.datetime.now(dt.UTC).date().isoformat(), "machine": machine(), "versions": versions()}
        write_record(record, known)
        print("\n".join(table_rows(case.name, row)), file=sys.stderr)
    return known


def read_record(path: Path, precision: str) -> Json:
    """The record at `path` to be completed, or a new one where it is absent or of another precision or machine."""
    empty: Json = {"schema": SCHEMA, "precision": precision, "cases": {}}
    if not path.is_file():
        return empty
    found: Json = json.loads(path.read_text(encoding="utf-8"))
    same = (found.get("schema"), found.get("precision"), found.get("machine")) == (SCHEMA, precision, machine())
    return found if same else empty


def write_record(path: Path, record: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def machine() -> dict[str, str | int]:
    """What a figure needs to be understood, and nothing that names the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"cpu": next(named, platform.machine()), "cores": len(os.sched_getaffinity(0)), "os": platform.system()}


def versions() -> dict[str, str]:
    names = ("edgewright", "numpy", "onnx", "onnx_ir", "onnxruntime", "openvino")
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in names}}


def table(record: Mapping[str, Any]) -> str:
    """The record as a Markdown table."""
    head = ["case", "runtime", "candidate", "size", "metric", "float", "int8", "drop", "limit", "second", "held"]
    lines = [line for name, case in sorted(record["cases"].items()) for line in table_rows(name, case)]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *lines])


def table_rows(name: str, case: Mapping[str, Any]) -> list[str]:
    if not case["runtimes"]:
        return [f"| {name} | both | exit {case['exit_code']} |{' |' * 7} {case['problem']} |"]
    return [_table_row(name, runtime, case, row) for runtime, row in sorted(case["runtimes"].items())]


def _table_row(name: str, runtime: str, case: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if row["whole"] is None:
        said = "refused, as meant" if row["refused_as_meant"] else row["problem"]
        return f"| {name} | {runtime} | exit {row['exit_code']} |{' |' * 7} {said} |"
    whole, second = row["whole"], row["second"]
    kept = f", {len(row['kept_float'])} layers float" if row["kept_float"] else ""
    cells = [
        name,
        runtime,
        f"{row['candidate']}{kept}",
        f"{row['size_bytes'] / row['original_size_bytes']:.2f}",
        case["metric"].rpartition(":")[2],
        *(f"{whole[key]:.4f}" for key in ("reference", "value", "drop")),
        f"{case['max_drop']:g}",
        "" if second is None else f"{second['drop']:.4f} of {case['second_max_drop']:g}",
        ("yes" if row["held"] else "**no**")
        + (f", exit {row['exit_code']}" if row["exit_code"] else "")
        + (f", {row['unsaid_float']} float layers unsaid" if row["unsaid_float"] else ""),
    ]
    return f"| {' | '.join(cells)} |"
