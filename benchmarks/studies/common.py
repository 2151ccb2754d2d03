"""What studies share: the cases beside them, the command as a user types it, and the header of a record."""

from __future__ import annotations

import importlib.util
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from edgewright.benchmarks.bench import now
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.core import jsontext
from edgewright.core.files import write_atomically

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PACKAGES = ("edgewright", "numpy", "onnx", "onnx_ir", "onnxruntime", "openvino")


def load_cases() -> None:
    """Makes `edgewright_cases` importable, which is a folder run by path like this one."""
    path = ROOT / "benchmarks" / "cases" / "__main__.py"
    spec = importlib.util.spec_from_file_location("edgewright_cases_main", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.load_cases()


def built(name: str, folder: Path) -> Any:
    """A case of benchmarks/cases in `folder / name`: what is there already is only read."""
    load_cases()
    from edgewright_cases.case import read_case
    from edgewright_cases.console import find_case

    return read_case(folder / name) if (folder / name / "case.json").exists() else find_case(name).build(folder / name)


def edgewright() -> list[str]:
    """The installed command: the script beside this interpreter, or the module where there is none."""
    script = Path(sys.executable).with_name("edgewright")
    return [str(script)] if script.is_file() else [sys.executable, "-m", "edgewright"]


def data_of(case: Any) -> list[str]:
    """The options that give a command the case's data, metric and shapes."""
    words = ["--data", str(case.data), "--eval-data", str(case.eval_data), "--metric", case.metric]
    for shape in (case.shapes or "").split():
        words += ["--shape", shape]
    return words


def others(into: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a record that are of other models than ``names``: those stay."""
    rows = json.loads(into.read_text(encoding="utf-8"))["rows"] if into.exists() else []
    return [row for row in rows if row["model"] not in names]


def write(into: Path, schema: str, content: Mapping[str, Any], packages: Sequence[str] = PACKAGES) -> None:
    """The record with today's header."""
    versions = {"python": platform.python_version(), **{name: metadata.version(name) for name in packages}}
    header = {"schema": schema, "created": now(), "machine": asdict(this_machine()), "versions": versions}
    write_atomically(into, jsontext.pretty({**content, **header}))
