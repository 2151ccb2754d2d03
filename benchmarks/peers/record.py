"""The record, schema "edgewright.peers/1": sorted JSON without host, user or path, written after every step.

    date, machine {cpu, cores, os}
    versions {ours, peers}     of both environments, in the last run; all are timed with the engines of `ours`
    cases {name: {case}}
    summary                    worked out of `cases` by figures.py, for readers who have no such program

A case is

    made_from                  digest of what the case was built from
    metric, higher_is_better, reference, max_drop     the float model's value, and how much may be lost, absolute
    second_...                 the same four of a second metric, where the case has one
    routes {name: {row}}       what a user would take otherwise; see routes.py
    ours {row}                 `edgewright compile --precision auto --target native --max-drop ...`
    duels {route: {pairs, ratio, ratio_ci95, p, verdict}}    ours over the route: [ours ns, route's ns] each
    disturbed                  runs that were made again, or kept the third time, for the hypervisor took the cores
    timed_from                 digest of what was timed, and how
    minutes {making, timing}   of this case, scoring included in the former
    ranks                      how many axes each input has
    protocol {threads, rounds, looks, round, pair}    `round` and `pair` say how long a run is (timed_run.Effort)
    versions                   those of the record when this case was timed

and a row is

    title, engine, kind, what  `kind` is float or int8; ours has `title` and, as its bundle says, `engine`,
                               `candidate`, `precision`, and the command's `exit_code`
    status                     "built", or "failed" with `stage` and `reason`
    made_from                  digest of what it was made from: equal ones are not made again
    compile_s, peak_bytes      of the whole command with the interpreter's start: seconds, and the largest sum of
                               resident memory over its processes; null for float, where nothing is made
    size_bytes                 of the files that are loaded
    value, drop, second_...    the metric over all evaluation data, and how much worse than float: negative is better
    holds                      every drop is within its limit
    ms, runs_ns                median of the rounds, and each round's median; null where it was not timed, for it does
                               not hold or a run failed (`untimed` has why)
    ratio, ratio_ci95          ours over this route, round by round; the interval is null with fewer than six rounds

`summary` has `cases` {name: {fastest, ratio, ratio_ci95, verdict, fastest_float, slower_than_float}}, `routes` {name:
{holds, of, ratio}}: in how many compared cases it holds, and the geometric mean of ours over it on those;
`best_single`, the route that holds in all of them beside which ours looks worst, `over_best_single` and
`over_fastest`, the geometric means of ours over it and over each case's fastest.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

SCHEMA = "edgewright.peers/1"
PACKAGES = ("edgewright", "numpy", "onnx", "onnxruntime", "openvino")
Json = dict[str, Any]


def machine() -> dict[str, str | int]:
    """What a figure needs to be understood, and nothing that names the machine."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return {"cpu": next(named, platform.machine()), "cores": len(os.sched_getaffinity(0)), "os": platform.system()}


def read(path: Path) -> Json:
    """What is known so far, where it was found on this machine; else an empty record."""
    empty: Json = {"schema": SCHEMA, "machine": machine(), "cases": {}, "versions": None}
    if not path.is_file():
        return empty
    found: Json = json.loads(path.read_text(encoding="utf-8"))
    return found if (found.get("schema"), found.get("machine")) == (SCHEMA, empty["machine"]) else empty


def write(path: Path, record: Json, summary: Mapping[str, Any]) -> None:
    """The record as it stands, whole or not at all."""
    record["date"] = dt.datetime.now(dt.UTC).date().isoformat()
    record["summary"] = summary
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def versions() -> dict[str, str]:
    """Of this environment."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in PACKAGES}}


def digest(*parts: object) -> str:
    """A short digest of JSON values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def is_current(row: Mapping[str, Any] | None, made_from: str, artifact: Path | None) -> bool:
    """Whether a row need not be made again: of the same sources, and what it made, if anything, is still there."""
    if row is None or row.get("made_from") != made_from:
        return False
    return row["status"] != "built" or (artifact is not None and artifact.is_file())


def judged(row: Json, found: Mapping[str, Any], case: Mapping[str, Any]) -> Json:
    """The row with its values, its drops and whether all limits hold; not a number holds nothing, and is null."""
    holds = True
    added: Json = {}
    for prefix in ("", "second_") if "second_metric" in case else ("",):
        value, reference = float(found[f"{prefix}value"]), case[f"{prefix}reference"]
        drop = reference - value if case[f"{prefix}higher_is_better"] else value - reference
        known = drop == drop and abs(drop) != float("inf")
        # Sums of the same values differ in their last digits.
        holds = holds and known and drop <= case[f"{prefix}max_drop"] + 1e-9
        added |= {f"{prefix}value": value if known else None, f"{prefix}drop": drop if known else None}
    return {**row, **added, "holds": holds}
