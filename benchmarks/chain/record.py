"""The record of the study, schema "edgewright.study-chain/1": JSON without host, user or path.

date, machine, versions
rows {name: {row}}, and a row is

case, title, note, options, recipe, train   as the plan has them
bar                what it is held to
exit_code, minutes, cpu_minutes             of the one compile for all runtimes
stages [{...}]     what the journal says of prune, distil and qat: parameters, drop, figures, notes
runtimes {name: {...}}, each with

exit_code, candidate, precision, size_bytes, problem    as the product says
macs, parameters {before, after}            counts of work and weights; never a speed
latency {ratio, ci95, pairs, new_ms, base_ms, preset, status, threads}   against the original in float32
accuracy {metric, before, after, drop, n}   over the whole evaluation set, by the cases' own scoring
proof {metric, before, after, drop, n}      on the product's own proof set, as it says

kill {...}         of the run that was killed; see killing.py
"""

from __future__ import annotations

import datetime as dt
import json
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewright.benchmarks.harness.machine import this_machine
from edgewright.core import jsontext
from edgewright.core.files import write_atomically

SCHEMA = "edgewright.study-chain/1"
PACKAGES = ("edgewright", "torch", "torch-pruning", "torchao", "onnx", "onnxruntime", "openvino")
Json = dict[str, Any]


def read(path: Path) -> Json:
    """What is known so far, where it was found on this machine; else an empty record."""
    empty: Json = {"schema": SCHEMA, "machine": asdict(this_machine()), "rows": {}, "kill": None}
    if not path.is_file():
        return empty
    found: Json = json.loads(path.read_text(encoding="utf-8"))
    same = found.get("schema") == SCHEMA and found["machine"]["cpu"] == empty["machine"]["cpu"]
    return found if same and found["machine"]["cores"] == empty["machine"]["cores"] else empty


def write(path: Path, **parts: Json) -> None:
    """Completes the record at `path`: `rows` by name, anything else as a whole."""
    known = read(path)
    known["rows"] |= parts.pop("rows", {})
    known |= parts
    known["date"] = dt.datetime.now(dt.UTC).date().isoformat()
    known["versions"] = {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in PACKAGES},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, jsontext.pretty(known))


def without(folder: Path, value: object) -> object:
    """`value` with every mention of `folder` taken out of its texts: a record names no place."""
    if isinstance(value, str):
        return value.replace(f"{folder}/", "").replace(str(folder), folder.name)
    if isinstance(value, dict):
        return {key: without(folder, item) for key, item in value.items()}
    if isinstance(value, list):
        return [without(folder, item) for item in value]
    return value
