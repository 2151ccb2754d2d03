"""``edgewright report``: the files it writes, what it says, and the one message of each failure."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="the report extra is not installed")

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
        (["net.record.json", "-o", "r", "--markdown", "r"], 2, "both the page and its Markdown"),
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
    assert run("--plots", tmp_path / "plots", "--format", "png").returncode == 69
