"""The same compile again, with a warm cache: how long it takes beyond the interpreter, and what one change does again.

Record, schema "edgewright.study-repeat/1", JSON without host, user or path:

created, machine, versions
rows [{model, form, precision, first_s, interpreter_s, again_s, beyond_s, same_bytes, changed}]
    form is `onnx` or `pt2`, data a file; again_s and interpreter_s are lists of seconds, taken in turns, each a whole
    process: `edgewright compile`, and `python -c pass`; beyond_s is the difference of their medians; changed lists for
    each changed option {option, wall_s, added}: what the cache holds afterwards that it did not before, {kind: count}
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from common import built, data_of, edgewright, load_cases, others, write

SCHEMA = "edgewright.study-repeat/1"
REPEATS = 7
PRECISION = "int8"
CHANGES = (("--max-drop", "30%"), ("--seed", "7"), ("--precision", "fp32"))
EXPORT = """
import importlib.util, sys, torch
spec = importlib.util.spec_from_file_location("factory", sys.argv[1])
factory = importlib.util.module_from_spec(spec)
spec.loader.exec_module(factory)
made = getattr(factory, sys.argv[2])()
module, inputs = made if isinstance(made, tuple) else (made, (torch.zeros(1, 1, 28, 28),))
torch.export.save(torch.export.export(module.eval(), inputs), sys.argv[3])
"""
Json = dict[str, Any]


def run(names: Sequence[str], into: Path, cases: Path) -> int:
    """Prints a line for each model and form and completes the record."""
    load_cases()
    rows: list[Json] = others(into, names)
    for name in names:
        case = built(name, cases)
        for form in ("onnx", "pt2") if case.factory else ("onnx",):
            with TemporaryDirectory(prefix="edgewright-repeat-") as folder:
                rows.append(row_of(case, form, Path(folder)))
            print(line(rows[-1]), flush=True)
            write(into, SCHEMA, {"rows": rows})
    return 0 if all(row["same_bytes"] for row in rows) else 1


def line(row: Json) -> str:
    """One row in words."""
    again = statistics.median(row["again_s"])
    changed = "; ".join(f"{one['option']}: {one['wall_s']:.1f} s, {one['added']}" for one in row["changed"])
    return (
        f"{row['model']} as {row['form']}: first {row['first_s']:.1f} s, again {again:.2f} s,"
        f" {row['beyond_s']:.2f} s beyond the interpreter; {changed}"
    )


def row_of(case: Any, form: str, folder: Path) -> Json:
    """One model: compiled, compiled again a few times, and with each option changed."""
    model = case.model if form == "onnx" else exported(case, folder / "model.pt2")
    environment = {**os.environ, "EDGEWRIGHT_CACHE_DIR": str(folder / "cache"), "EDGEWRIGHT_CACHE_SIZE": "20GB"}
    words = [*edgewright(), "compile", str(model), "--target", "native/onnxruntime", "--precision", PRECISION]
    words += [*_without_shapes(case, form), "--max-drop", "50%"]
    first = seconds([*words, "-o", str(folder / "first.ewb")], environment)
    again: list[float] = []
    plain: list[float] = []
    for _ in range(REPEATS):
        plain.append(seconds([sys.executable, "-c", "pass"], environment))
        again.append(seconds([*words, "-o", str(folder / "again.ewb")], environment))
    same = (folder / "first.ewb").read_bytes() == (folder / "again.ewb").read_bytes()
    changed = []
    for option, value in CHANGES:
        before = entries(environment)
        took = seconds([*words, option, value, "-o", str(folder / "changed.ewb")], environment)
        added = Counter(kind for kind, _ in entries(environment) - before)
        changed.append({"option": f"{option} {value}", "wall_s": round(took, 2), "added": dict(sorted(added.items()))})
    return {
        "model": case.name,
        "form": form,
        "precision": PRECISION,
        "first_s": round(first, 2),
        "interpreter_s": [round(one, 4) for one in plain],
        "again_s": [round(one, 4) for one in again],
        "beyond_s": round(statistics.median(again) - statistics.median(plain), 4),
        "same_bytes": same,
        "changed": changed,
    }


def _without_shapes(case: Any, form: str) -> list[str]:
    """A program has its shapes, and input names of its own that are the module's."""
    words = data_of(case)
    return words[: words.index("--shape")] if form == "pt2" and "--shape" in words else words


def exported(case: Any, path: Path) -> Path:
    """The case's module as a program."""
    file, _, function = case.factory.partition(".py:")
    subprocess.run([sys.executable, "-c", EXPORT, f"{file}.py", function, str(path)], check=True, capture_output=True)
    return path


def seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Of a whole process."""
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    took = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{Path(command[0]).name} failed:\n{done.stderr[-2000:]}")
    return took


def entries(environment: Mapping[str, str]) -> set[tuple[str, str]]:
    """Kind and key of all that the cache holds."""
    words = [*edgewright(), "cache", "list", "--json"]
    listed = json.loads(subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout)
    return {(one["kind"], one["key"]) for one in listed["entries"]}
