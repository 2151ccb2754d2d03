"""``edgewright report``: the files it writes, what it says, and the one message of each failure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import skip_without_a_font

pytest.importorskip("jinja2", reason="the report extra is not installed")

from edgewright.benchmarks.history import append_record_to_history
from edgewright.cli import main
from edgewright.core.bundle import (
    BackendRecord,
    Golden,
    Limits,
    Manifest,
    ModelRecord,
    TargetRecord,
    Tolerances,
    open_bundle,
    write_bundle,
)
from edgewright.core.tensors import TensorSpec

RunCli = Callable[..., Any]

RECORD = {
    "schema": "edgewright.bench/1",
    "subject": {"bundle_sha256": "ab" * 32, "model": "net\u202e<b>", "precision": "int8", "size_bytes": 1000},
    "target": {"name": "native/onnxruntime", "threads": 2},
    "machine": {"identity": "0123456789abcdef", "cpu": "Some CPU", "cores": 2},
    "protocol": {"preset": "quick", "sample_kind": "inference", "inner": 1},
    "runs": [{"arm": "a", "order": 0, "ns": [1000, 1100, 1200], "window_medians": [1100.0], "flags": []}],
    "summary": {"percentiles": {"p50": {"value": 1100.0, "ci95": [1000.0, 1200.0]}}, "n": 3, "throughput": 9e5},
    "status": "ok",
    "created": "2026-05-04T03:02:01Z",
}


@pytest.fixture
def record(tmp_path: Path) -> Path:
    path = tmp_path / "net.record.json"
    path.write_text(json.dumps({"schema": "edgewright.records/1", "records": [RECORD]}))
    return path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """``net.ewb``, whose engine is one byte."""
    engine = tmp_path / "engine"
    engine.write_bytes(b"x")
    manifest = Manifest(
        model=ModelRecord("net", "0" * 64),
        target=TargetRecord("native/onnxruntime", {"hardware": "native"}),
        backend=BackendRecord("onnxruntime", {}, "model.onnx", {}),
        precision="fp32",
        inputs=(TensorSpec("x", "float32", (1, 2)),),
        outputs=(TensorSpec("y", "float32", (1, 2)),),
        passes=(),
        accuracy=None,
        limits=Limits(),
        size_bytes=1,
        recipe_digest="1" * 64,
        plan_digest="2" * 64,
        tolerances=Tolerances(1e-3, 1e-3),
    )
    inputs, answers = ([{name: np.zeros((1, 2), np.float32)}] * 4 for name in "xy")
    path = tmp_path / "net.ewb"
    write_bundle(path, manifest.to_json(), {}, {"model.onnx": engine}, Golden(inputs, answers, answers))
    return path


def test_it_writes_what_is_asked_for_and_names_it(run_cli: RunCli, record: Path, tmp_path: Path) -> None:
    out, markdown, folder = tmp_path / "r.html", tmp_path / "r.md", tmp_path / "plots"
    done = run_cli("report", record, "-o", out, "--markdown", markdown, "--plots", folder)
    assert done.returncode == 0, done.stderr
    assert out.read_text("utf-8").startswith("<!DOCTYPE html>")
    assert markdown.read_text("utf-8").startswith("# net")
    plots = sorted(folder.iterdir())
    assert {"distribution.svg", "runs-v1-abababababab.svg"} <= {path.name for path in plots}
    assert all("<svg" in path.read_text("utf-8") for path in plots)
    assert sorted(done.stdout.split()) == sorted(str(path) for path in (out, markdown, *plots))


def test_plots_as_png(run_cli: RunCli, record: Path, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason="what draws PNG is not installed")
    skip_without_a_font()
    done = run_cli("report", record, "--plots", tmp_path / "plots", "--format", "png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plots" / "distribution.png").read_bytes().startswith(b"\x89PNG")


def test_json_is_one_document_on_stdout(run_cli: RunCli, record: Path, tmp_path: Path) -> None:
    done = run_cli("report", record, "--json", "-o", tmp_path / "r.html")
    document = json.loads(done.stdout)
    assert document["schema"] == "edgewright.report/1"
    assert document["variants"][0]["latency_ns"]["p50"] == {"value": 1100.0, "ci95": [1000.0, 1200.0]}
    assert document["variants"][0]["latency_ns"]["p99"]["value"] is None
    assert (tmp_path / "r.html").exists()


def test_twice_the_same_bytes(run_cli: RunCli, record: Path, tmp_path: Path) -> None:
    """In processes of their own, so with hash seeds of their own."""
    pages = [tmp_path / "one.html", tmp_path / "two.html"]
    for seed, page in enumerate(pages):
        done = run_cli("report", record, "-o", page, env={"PYTHONHASHSEED": str(seed)})
        assert done.returncode == 0, done.stderr
    assert pages[0].read_bytes() == pages[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["net.record.json"], 2, "nothing to write"),
        (["net.record.json", "--format", "png", "-o", "r.html"], 2, "--format is for --plots"),
        (["net.record.json", "--metric", "p50", "-o", "r.html"], 2, "--metric is for --history"),
        (["net.record.json", "-o", "net.record.json"], 2, "would be written over"),
        (["net.record.json", "-o", "r", "--markdown", "r"], 2, "-o and --markdown are both r"),
        (["absent.ewb", "-o", "r.html"], 2, "there is no absent.ewb"),
        (["bad.record.json", "-o", "r.html"], 65, "bad.record.json is not JSON"),
        (["net.record.json", "-o", "nowhere/r.html"], 73, "cannot write"),
        (["net.record.json", "-o", "r.html", "--history", "nowhere"], 2, "there is no history"),
    ],
)
def test_failures_are_one_message(
    run_cli: RunCli, record: Path, tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    (tmp_path / "bad.record.json").write_text("{")
    before = record.read_bytes()
    done = run_cli("report", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert done.stderr.count("error:") == 1
    assert "Traceback" not in done.stderr
    assert record.read_bytes() == before
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["net.ewb", "-o", "net.ewb"],
        ["net.ewb", "--markdown", "net.record.json"],
        [".", "-o", "net.ewb"],
        [".", "-o", "net.record.json"],
        ["net.ewb", "-o", "r.html", "--history", "past", "--markdown", "past/r.md"],
        ["net.ewb", "--history", "past", "--plots", "past"],
    ],
)
@pytest.mark.parametrize("measured", [False, True])
def test_what_goes_in_is_never_written_over(
    bundle: Path,
    tmp_path: Path,
    words: list[str],
    measured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nor where a bundle has its records, or is to have them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "past").mkdir()
    if measured:
        found = {**RECORD, "subject": {"bundle_sha256": open_bundle(bundle).digest}}
        (tmp_path / "net.record.json").write_text(json.dumps({"schema": "edgewright.records/1", "records": [found]}))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert main(["report", *words]) == 2
    assert "would be written over" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_the_json_has_the_history(record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = {**RECORD, "protocol": {**RECORD["protocol"], "scenario": "single-stream"}}  # type: ignore[dict-item]
    append_record_to_history(tmp_path / "past.sqlite", whole, "v1", name="net")
    assert main(["report", str(record), "--json", "--history", str(tmp_path / "past.sqlite")]) == 0
    (line,) = json.loads(capsys.readouterr().out)["histories"]
    assert line["metric"] == "p50"
    assert [(one["commit"], one["value"], one["status"]) for one in line["points"]] == [("v1", 1100.0, "ok")]


def test_without_the_extra_it_says_what_to_install_and_still_prints_figures(record: Path, tmp_path: Path) -> None:
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("jinja2", "markupsafe", "resvg_py"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
from edgewright.cli import main
sys.exit(main(sys.argv[1:]))
"""

    def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", code, "report", str(record), *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    page = run("-o", tmp_path / "r.html")
    assert page.returncode == 69
    assert 'pip install "edgewright[report]"' in page.stderr
    assert run("--json", "--markdown", tmp_path / "r.md").returncode == 0
    drawn = run("--markdown", tmp_path / "s.md", "--plots", tmp_path / "plots", "--format", "png")
    assert drawn.returncode == 69
    assert drawn.stdout == ""
    assert not (tmp_path / "s.md").exists()  # all or nothing
    assert not (tmp_path / "plots").exists()
