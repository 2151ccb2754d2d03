from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from edgewright.driver.recipe import read_recipe
from edgewright.targets.load import load_targets

ROOT = Path(__file__).resolve().parent.parent.parent
CHAIN = ROOT / "benchmarks" / "chain"
RECORD = ROOT / "benchmarks" / "results" / "chain.json"
BEGIN, END = "<!-- figures: chain -->\n", "<!-- end: chain -->"
PASSES = {
    "digits": ["prune", "distil"],
    "efficientnet_lite0": ["prune", "distil"],
    "fashion_detector": ["prune", "distil"],
    "efficientnet_lite0_ptq": [],
    "efficientnet_lite0_qat": ["qat"],
    "fashion_resnet": ["prune", "distil", "qat"],
    "impossible": ["prune", "distil"],
    "minilm": ["prune", "distil"],
}


def chain(*words: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, CHAIN, *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT, timeout=120
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def runtime(ratio: float = 0.3, drop: float = 0.002) -> dict[str, object]:
    return {
        "exit_code": 0,
        "candidate": "int8 (integer)",
        "precision": "int8",
        "size_bytes": 400_000,
        "problem": None,
        "macs": {"before": 27_000_000, "after": 10_800_000},
        "parameters": {"before": 990_000, "after": 330_000},
        "latency": {
            "ratio": ratio,
            "ci95": [ratio - 0.01, ratio + 0.01],
            "pairs": 8,
            "new_ms": 0.12,
            "base_ms": 0.4,
            "preset": "quick",
            "status": "ok",
            "threads": 2,
        },
        "accuracy": {"metric": "top1", "before": 0.932, "after": 0.932 - drop, "drop": drop, "n": 10_000},
        "proof": None,
    }


def row(title: str, *, recovers: str = "", **figures: float) -> dict[str, object]:
    bar = {"speedup": None, "lost": None, "minutes": None, "exit_code": 0}
    return {
        "case": "fashion-resnet",
        "title": title,
        "note": f"of {title}",
        "bar": {**bar, "recovers": recovers, "recovered": 0.5 if recovers else 0.0},
        "exit_code": 0,
        "problem": None,
        "minutes": 12.34,
        "runtimes": {"onnxruntime": runtime(**figures), "openvino": runtime(**figures)},
    }


@pytest.fixture
def found() -> dict[str, object]:
    machine = {"cpu": "Some CPU", "cores": 2, "virtual": True}
    return {"schema": "edgewright.study-chain/1", "machine": machine, "date": "2026-11-22", "rows": {}, "kill": None}


def told(tmp_path: Path, record: dict[str, object]) -> list[str]:
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(record))
    return chain("table", "--record", path).splitlines()


def cells(lines: list[str], title: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith(f"| {title} |")]


def test_a_row_shows_latency_as_speed_and_work_as_work(tmp_path: Path, found: dict[str, object]) -> None:
    found["rows"] = {"a": row("a net")}
    lines = told(tmp_path, found)
    (first, second) = cells(lines, "a net")
    assert first == [
        *("a net", "ONNX Runtime", "0.300 (0.290 to 0.310)", "3.33", "0.9320", "0.9300", "0.0020", "10000", "12.3"),
        *("40%", "33%", "yes"),
    ]
    assert second[1] == "OpenVINO"
    head = next(line for line in lines if line.startswith("| model"))
    assert len(head.split("|")) - 2 == len(first)
    assert "- a net: of a net." in lines
    assert "a virtual machine" in lines[0]


@pytest.mark.parametrize(
    ("bar", "held"),
    [
        ({"speedup": 3.3}, True),
        ({"speedup": 3.4}, False),
        ({"lost": 0.002}, True),
        ({"lost": 0.0019}, False),
        ({"minutes": 12.34}, True),
        ({"minutes": 12.3}, False),
        ({"exit_code": 1}, False),
    ],
)
def test_each_limit_of_a_bar_is_looked_at(
    tmp_path: Path, found: dict[str, object], bar: dict[str, float], held: bool
) -> None:
    one = row("a net")
    one["bar"] = {**one["bar"], **bar}  # type: ignore[dict-item]
    found["rows"] = {"a": one}
    assert [line[-1] for line in cells(told(tmp_path, found), "a net")] == ["yes" if held else "**no**"] * 2


@pytest.mark.parametrize(
    ("drop", "said"), [(0.004, "yes; 80% of the loss is back"), (0.012, "**no**; 40% of the loss")]
)
def test_what_training_recovers_is_of_what_quantising_lost(
    tmp_path: Path, found: dict[str, object], drop: float, said: str
) -> None:
    found["rows"] = {"after": row("after", drop=0.02), "during": row("during", recovers="after", drop=drop)}
    assert cells(told(tmp_path, found), "during")[0][-1].startswith(said)


def test_a_loss_to_recover_that_nobody_measured_is_not_recovered(tmp_path: Path, found: dict[str, object]) -> None:
    found["rows"] = {"during": row("during", recovers="after")}
    assert cells(told(tmp_path, found), "during")[0][-1] == "**no**"


def test_what_made_no_bundle_says_why(tmp_path: Path, found: dict[str, object]) -> None:
    one = row("a net")
    failed = {**runtime(), **dict.fromkeys(("macs", "parameters", "latency", "accuracy")), "exit_code": 69}
    one["runtimes"]["openvino"] = {**failed, "problem": "it takes no such layer"}  # type: ignore[index]
    nothing = {**copy.deepcopy(one), "title": "nothing", "runtimes": {}, "problem": "no data"}
    found["rows"] = {"a": one, "b": nothing}
    lines = told(tmp_path, found)
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert len(widths) == 1
    assert cells(lines, "a net")[1][-1] == "exit 69: it takes no such layer"
    assert cells(lines, "nothing")[0][-1] == "no data"


def test_what_was_not_timed_is_no_faster(tmp_path: Path, found: dict[str, object]) -> None:
    one = row("a net")
    one["runtimes"] = {"onnxruntime": {**runtime(), "latency": None}}
    asked = {**copy.deepcopy(one), "title": "asked", "bar": {**one["bar"], "speedup": 1.0}}  # type: ignore[dict-item]
    found["rows"] = {"a": one, "b": asked}
    lines = told(tmp_path, found)
    assert cells(lines, "a net")[0][2:4] == ["", ""]
    assert [cells(lines, title)[0][-1] for title in ("a net", "asked")] == ["yes", "**no**"]


def test_the_target_with_one_scale_per_tensor_is_one() -> None:
    (target,) = load_targets(str(CHAIN / "targets" / "per_tensor.toml"))
    assert target.runtime == "onnxruntime"
    assert target.int8 is not None
    assert not target.int8.per_channel_axes


@pytest.mark.parametrize("same", [True, False])
def test_a_killed_run_is_told(tmp_path: Path, found: dict[str, object], same: bool) -> None:
    found["kill"] = {"case": "digits", "killed_after": 3, "resumed": True, "same_engine": same}
    last = told(tmp_path, found)[-1]
    assert "at checkpoint 3 of recovery (digits)" in last
    assert ("the same engine, byte for byte, as a run" in last) == same


@pytest.fixture(scope="module")
def record() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chain_record", CHAIN / "record.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_row_joins_those_of_the_same_machine_alone(record: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "chain.json"
    record.write(path, rows={"a": {"minutes": 1}})
    record.write(path, rows={"b": {"minutes": 2}})
    record.write(path, rows={"a": {"minutes": 3}}, kill={"resumed": True})
    found = json.loads(path.read_text())
    assert found["rows"] == {"a": {"minutes": 3}, "b": {"minutes": 2}}
    assert found["kill"] == {"resumed": True}
    path.write_text(json.dumps({**found, "machine": {**found["machine"], "cores": 1_000}}))
    record.write(path, rows={"c": {"minutes": 4}})
    assert json.loads(path.read_text())["rows"].keys() == {"c"}


def test_no_place_of_this_machine_gets_into_a_record(record: ModuleType, tmp_path: Path) -> None:
    said = {"notes": [f"{tmp_path}/loss.py:detection", f"in {tmp_path}"], "n": 1, "of": {"x": f"a {tmp_path}/b/c d"}}
    assert record.without(tmp_path, said) == {
        "notes": ["loss.py:detection", f"in {tmp_path.name}"],
        "n": 1,
        "of": {"x": "a b/c d"},
    }


def test_recipes_name_passes_and_options_that_there_are() -> None:
    found = {path.stem: read_recipe(path) for path in sorted((CHAIN / "recipes").glob("*.toml"))}
    assert {name: [one.name for one in recipe.passes if not one.skip] for name, recipe in found.items()} == PASSES


def test_every_plan_names_a_recipe_and_a_case_that_there_are() -> None:
    listed = {line.split()[0] for line in chain("list").splitlines()}
    assert {"fashion-resnet", "efficientnet-lite0-ptq", "impossible"} <= listed
    text = (CHAIN / "plans.py").read_text()
    assert all(f'"{name}.toml"' in text for name in PASSES.keys() - {"digits"})
    assert "there are: fashion-resnet" in chain("run", "fashion-resnett", code=2)


SHORT_BEGIN, SHORT_END = "<!-- figures: chain, in short -->\n", "<!-- end: chain, in short -->"


def test_the_front_page_shows_the_record_in_short() -> None:
    shown = (ROOT / "README.md").read_text().partition(SHORT_BEGIN)[2].partition(SHORT_END)[0].strip()
    assert shown == chain("table", "--short").strip()


def test_the_short_table_has_the_weaker_runtime_and_no_row_that_is_not_whole(
    tmp_path: Path, found: dict[str, object]
) -> None:
    one, half = row("a net"), row("half a net")
    one["runtimes"]["openvino"]["accuracy"]["drop"] = 0.004  # type: ignore[index]
    half["runtimes"]["openvino"]["latency"] = None  # type: ignore[index]
    found["rows"] = {"a": one, "b": half}
    path = tmp_path / "chain.json"
    path.write_text(json.dumps(found))
    lines = chain("table", "--short", "--record", path).splitlines()
    assert [line for line in lines if "a net |" in line] == ["| a net | 3.33x | 3.33x | 0.9320 | 0.0040 | 10000 | 12 |"]
    assert not any("half a net" in line for line in lines)


def test_the_page_shows_what_the_record_says() -> None:
    shown = [
        text.partition(BEGIN)[2].partition(END)[0].strip()
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        if BEGIN in (text := page.read_text())
    ]
    if not RECORD.exists():
        assert not any(shown), "a table without a record"
        pytest.skip("no chain is recorded yet")
    assert shown == [chain("table").strip()]
