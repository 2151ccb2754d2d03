"""The study of growth, and what it must never find: work that grows with the square of a graph."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import onnx_ir as ir
import pytest

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.pipeline import default_pipeline
from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.targets.load import load_targets

ROOT = Path(__file__).resolve().parent.parent.parent
STUDIES = ROOT / "benchmarks" / "studies"
RECORD = ROOT / "benchmarks" / "results" / "scale.json"
FIRE = {"tidy", "deduplicate", "fold-constants", "fold-batchnorm", "simplify-layout", "fuse-layernorm", "fuse-gelu"}


@pytest.fixture(scope="module")
def synthetic() -> ModuleType:
    spec = importlib.util.spec_from_file_location("study_synthetic", STUDIES / "synthetic.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How many readers have been listed, by whoever asked a value for them."""
    found: Counter[str] = Counter()
    uses = ir.Value.uses

    def counted(value: ir.Value):
        listed = uses(value)
        found["readers"] += len(listed)
        return listed

    monkeypatch.setattr(ir.Value, "uses", counted)
    return found


def test_no_pass_lists_readers_by_the_square_of_the_graph(
    synthetic: ModuleType, looked_at: Counter[str], tmp_path: Path
) -> None:
    """Counted, not timed. A constant that n nodes share has n readers: listing them n times is what takes squares."""
    target = load_targets("x86-avx512-vnni/onnxruntime")[0]
    absent = Absent("not in this test")
    counts: dict[str, list[int]] = {}
    fired = set()
    for nodes in (300, 1200):
        path = tmp_path / f"{nodes}.onnx"
        path.write_bytes(synthetic.mixed(nodes).SerializeToString())
        model = read_onnx(path)
        site = Site(target, model, absent, absent, absent, absent, Budget(), 0, tmp_path)
        for one in default_pipeline(target, "fp32").passes:
            looked_at.clear()
            outcome = one(model, site)
            counts.setdefault(one.name, []).append(looked_at["readers"])
            model = outcome.model
            if outcome.changed:
                fired.add(one.name)
    assert fired >= FIRE  # or the counts say nothing
    grown = {name: most / max(few, 100) for name, (few, most) in counts.items()}
    assert max(grown.values()) < 7.0, grown  # 4 is in proportion, 16 is the square


@pytest.mark.full
def test_time_does_not_grow_with_the_square(tmp_path: Path) -> None:
    """Two sizes, three processes each, processor time; the square would be an exponent of 2."""
    into = tmp_path / "scale.json"
    words = ["scale", "--into", into, "--nodes", "600", "3000", "--bytes", "0", "--repeats", "2"]
    done = subprocess.run(
        [sys.executable, STUDIES, *words], capture_output=True, text=True, check=False, cwd=ROOT, timeout=300
    )
    assert done.returncode == 0, done.stderr
    record = json.loads(into.read_text())
    assert record["schema"] == "edgewright.study-scale/1"
    assert [round(row["nodes"] / 100) for row in record["graphs"]["rows"]] == [6, 30]
    growth = record["graphs"]["growth"]
    assert growth["all"]["seconds"] < 1.5
    slow = {name: one["seconds"] for name, one in growth.items() if one["seconds"] is not None}
    assert max(slow.values()) < 1.7, slow


@pytest.mark.skipif(not RECORD.exists(), reason="no study is committed yet")
def test_the_committed_study_keeps_what_is_promised() -> None:
    record = json.loads(RECORD.read_text())
    for name, one in record.get("graphs", {"growth": {}})["growth"].items():
        assert one["seconds"] is None or one["seconds"] <= 1.15, name
        assert one["peak_bytes"] is None or one["peak_bytes"] <= 1.15, name
    assert record["weights"]["bytes"] > 2e9
    assert record["weights"]["exit_code"] == 0
    assert record["weights"]["ratio"] <= 3.0
