"""The studies that hold the command to its pages: what they measure is what the command did, and what they found."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STUDIES = ROOT / "benchmarks" / "studies"
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class TinyCase:
    """What the studies read of a case."""

    model: Path
    data: Path
    eval_data: Path
    name: str = "tiny"
    metric: str = "agreement"
    max_drop: float = 0.01
    shapes: str | None = None
    factory: str | None = None


@pytest.fixture
def case(conv_net_path: Path, conv_net_data: Path) -> TinyCase:
    return TinyCase(conv_net_path, conv_net_data, conv_net_data)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a module of the folder as its own command does."""
    monkeypatch.syspath_prepend(str(STUDIES))
    before = set(sys.modules)

    def load(name: str) -> Any:
        import importlib

        module = importlib.import_module(name)
        module.load_cases()
        return module

    yield load
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(STUDIES)):
            del sys.modules[name]


@pytest.mark.parametrize("fault", ["fault-behind-fuse", "fault-behind-quantize"])
def test_a_planted_fault_is_planted_and_found(study: Any, case: TinyCase, fault: str) -> None:
    row = study("blamed").row_of(case, fault, 1)
    assert row["problem"] is None
    assert row["planted"]["pass"] == fault
    assert row["planted"]["layer"]
    assert row["named"] == row["planted"]
    assert row["right"]
    assert row["moved"] > 0.01


def test_a_layer_that_was_not_named_is_not_called_right(study: Any, case: TinyCase, tmp_path: Path) -> None:
    row = study("blamed").row_of(TinyCase(tmp_path / "absent.onnx", case.data, case.eval_data), "fault-behind-fold", 0)
    assert not row["right"]
    assert row["problem"]


def test_explained_layers_add_up_to_the_profiled_run(study: Any, case: TinyCase) -> None:
    row = study("explained").row_of(case, "onnxruntime", "fp32")
    assert row["problem"] is None
    assert row["layers"] == sum(row["precisions"].values()) + row["unnamed"]
    assert row["accounted"] == pytest.approx((row["layers_us"] + row["overhead_us"]) / row["profiled_us"], abs=1e-3)


@pytest.mark.full
def test_a_repeated_compile_is_the_same_and_a_changed_option_adds_to_the_cache(
    study: Any, case: TinyCase, tmp_path: Path
) -> None:
    row = study("repeated").row_of(case, "onnx", tmp_path)
    assert row["same_bytes"]
    assert len(row["again_s"]) == len(row["interpreter_s"]) >= 5
    by_option = {one["option"]: one["added"] for one in row["changed"]}
    assert by_option["--max-drop 30%"]["compile"] == 1
    assert "statistics" not in by_option["--max-drop 30%"]


@pytest.mark.full
def test_a_search_says_what_it_chose_and_how_often_it_calibrated(study: Any, case: TinyCase) -> None:
    row = study("searched").row_of(case, "50%")
    assert row["problem"] is None
    assert row["calibrations"]
    assert row["candidates"] > 3
    assert row["ratio"] > 0


@pytest.mark.full
def test_builds_are_counted_and_compared(study: Any, case: TinyCase, tmp_path: Path) -> None:
    module = study("builds")
    found = module.parallel([case], tmp_path, 4, "rpi5/onnxruntime")
    assert found["failures"] == found["leftovers"] == 0
    assert [(one["precision"], one["compiled"], one["equal_bytes"]) for one in found["distinct"]] == [
        ("fp32", 1, True),
        ("int8", 1, True),
    ]
    row = module.reproducible(case, "onnx/onnxruntime", "fp32", tmp_path / "places")
    assert row["problem"] is None
    assert row["equal_bytes"]
    assert row["equal_digests"]
    absent = module.reproducible(case, "onnx/aotinductor", "fp32", tmp_path / "absent")
    assert absent["problem"] == "tiny has no torch form"
    assert absent["equal_digests"] is None


def rows_of(name: str) -> list[dict[str, Any]]:
    path = RESULTS / name
    if not path.exists():
        pytest.skip(f"{name} is not recorded yet")
    found: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"]
    return found


def test_the_recorded_searches_took_minutes_and_calibrated_once() -> None:
    for row in rows_of("search.json"):
        assert row["problem"] is None
        if row["nodes"] <= 94:
            assert row["wall_s"] <= 180
            assert row["drop"] <= 0.01


def test_the_recorded_explanations_add_up_and_name_every_precision() -> None:
    rows = rows_of("explain.json")
    assert {row["runtime"] for row in rows} == {"onnxruntime", "openvino"}
    for row in rows:
        assert row["problem"] is None
        assert row["unnamed"] == 0
        if row["plain_us"] >= 5000:
            assert abs(row["accounted"] - 1) <= 0.1


def test_every_recorded_fault_was_found() -> None:
    harmful = [row for row in rows_of("blame.json") if row["harmful"]]
    assert len(harmful) >= 20
    assert all(row["right"] for row in harmful)


def test_recorded_repetitions_took_a_second() -> None:
    rows = rows_of("repeat.json")
    assert {row["form"] for row in rows} == {"onnx", "pt2"}
    for row in rows:
        assert row["same_bytes"]
        assert row["beyond_s"] <= 1.0
        for one in row["changed"]:
            assert one["added"].get("compile") == 1


def test_recorded_builds_were_compiled_once_and_are_the_same_everywhere() -> None:
    path = RESULTS / "builds.json"
    if not path.exists():
        pytest.skip("builds.json is not recorded yet")
    record = json.loads(path.read_text("utf-8"))
    first = record["parallel"]
    assert first["processes"] == 16
    assert first["failures"] == first["leftovers"] == 0
    assert len(first["distinct"]) >= 4
    assert all(one["compiled"] == 1 and one["equal_bytes"] for one in first["distinct"])
    rows = record["reproducible"]
    assert {row["runtime"] for row in rows} == {"onnxruntime", "openvino", "tensorrt", "aotinductor"}
    for row in rows:
        assert row["problem"] is None
        assert row["equal_digests"]
        assert row["equal_bytes"] or row["runtime"] != "onnxruntime"
        assert "another user" in row["environments"]


def test_the_verbs_are_told_by_the_help() -> None:
    done = subprocess.run([sys.executable, STUDIES, "--help"], capture_output=True, text=True, check=True)
    for verb in ("search", "explain", "blame", "repeat", "builds"):
        assert f"\n    {verb} MODEL..." in done.stdout
