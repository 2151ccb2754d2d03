"""What the cases' `engines` makes of reports; the building itself is the product's, tested with its backend."""

from __future__ import annotations

import json
import runpy
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from .conftest import ROOT


@pytest.fixture(scope="module")
def engines() -> ModuleType:
    runpy.run_path(str(ROOT / "benchmarks" / "cases" / "__main__.py"), run_name="cases")["load_cases"]()
    return sys.modules["edgewright_cases.engines"]


def row(**changes: object) -> dict[str, object]:
    plain = {"exit_code": 0, "problem": None, "engine_bytes": 2_000_000, "held": True, "drop": 0.001, "weights": 0.27}
    return {**plain, "macs": {"int8": 0.9, "fp16": 0.1}, "planned": "int8 9", **changes}


REFUSED = {"exit_code": 69, "problem": "the operator Foo is unknown"}


@pytest.mark.parametrize(
    ("rows", "meant"),
    [
        ({"a/x": row(), "b/x": row()}, True),
        ({"a/x": row(), "b/x": row(held=False)}, False),
        ({"a/x": row(engine_bytes=None)}, False),
        ({"a/x": REFUSED}, True),
        ({"a/x": {**REFUSED, "exit_code": 70}}, False),
        ({"a/x": {**REFUSED, "problem": None}}, False),
    ],
)
def test_a_case_is_built_and_holds_or_is_refused_by_name(engines: ModuleType, rows: object, meant: bool) -> None:
    assert engines.as_meant(rows) is meant


def test_the_table_has_a_line_for_each_case_and_precision(engines: ModuleType) -> None:
    record = {"cases": {"net": {"int8": {"a/x": row(), "b/x": row(engine_bytes=3_000_000)}, "fp16": {"a/x": REFUSED}}}}
    lines = engines.table(record).splitlines()
    assert lines[2].startswith("| net | fp16 | exit 69 |")
    assert lines[3] == "| net | int8 | a, b | 2.0 to 3.0 MB | +0.0010 | 0.27 | 90% | int8 9 | yes |"


def test_the_page_shows_the_record_and_nothing_else(engines: ModuleType) -> None:
    record = json.loads(engines.RECORD.read_text("utf-8"))
    page = (ROOT / "docs" / "targets.md").read_text("utf-8")
    shown = page.partition("<!-- figures: engines -->\n")[2].partition("<!-- end: engines -->")[0]
    assert shown == f"{engines.page(record)}\n"


def test_a_row_is_read_from_the_bundle_itself(engines: ModuleType, tmp_path: Path) -> None:
    bundle = tmp_path / "net.ewb"
    written = {"weight_ratio": 0.3, "shares": {"int8": 1.0}}
    journal = {"precisions": {"written": written, "executed": {"source": "unknown"}}}
    files = [{"path": "engine/model.engine", "bytes": 7}, {"path": "engine/model.onnx", "bytes": 5}]
    manifest = {"files": files, "backend": {"pending": None, "entry": "model.engine", "properties": {}}}
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("journal.json", json.dumps(journal))
        archive.writestr("manifest.json", json.dumps(manifest))
    accuracy = {"reference": 0.9, "value": 0.88, "drop": 0.02, "n": 10, "mark": "host-proxy"}
    entry = {"exit_code": 0, "problem": None, "candidate": "int8 (x)", "size_bytes": 12, "accuracy": accuracy}
    case = SimpleNamespace(folder=tmp_path, max_drop=0.01)
    found = engines.row(case, {**entry, "bundle": str(bundle)})
    assert (found["engine_bytes"], found["weights"], found["held"]) == (7, 0.3, False)
    assert found["executed"] == {"source": "unknown"}
