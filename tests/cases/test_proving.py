from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from .conftest import ROOT, RunScript

Row = dict[str, object]


@pytest.fixture(scope="module")
def module() -> Callable[[str], ModuleType]:
    """A module of the package of cases, which is loaded by path and never installed."""
    runpy.run_path(str(ROOT / "benchmarks" / "cases" / "__main__.py"), run_name="cases")["load_cases"]()
    return lambda name: sys.modules[f"edgewright_cases.{name}"]


def test_peak_memory_and_processor_time_are_of_the_whole_tree(module: Callable[[str], ModuleType]) -> None:
    child = "import time; held = bytearray(b'1') * (60 << 20); time.sleep(0.5); sum(range(2_000_000))"
    parent = (
        "import subprocess, sys; held = bytearray(b'1') * (40 << 20); print('out');"
        f"sys.exit(subprocess.call([sys.executable, '-c', {child!r}]) + 3)"
    )
    done = module("process_tree").run_measured([sys.executable, "-c", parent])
    assert done.exit_code == 3
    assert done.stdout == "out\n"
    # Neither process alone reaches 100 MiB: an interpreter is some 10 MiB.
    assert 100 << 20 < done.peak_bytes < 200 << 20
    assert 0.02 < done.cpu_s < done.wall_s + 0.1
    assert done.wall_s > 0.5


def test_a_command_that_is_killed_says_by_what(module: Callable[[str], ModuleType]) -> None:
    done = module("process_tree").run_measured([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    assert done.exit_code == -9


def row(**changes: object) -> Row:
    figures = {"reference": 0.9, "value": 0.9, "drop": 0.0, "n": 10}
    whole: Row = {**figures, "whole": dict(figures), "second": None, "exit_code": 0, "held": True, "problem": None}
    whole |= {"candidate": "int8 (x)", "size_bytes": 30, "original_size_bytes": 100, "kept_float": ["a", "b"]}
    return whole | {"verify_exit_code": 0, "refused_as_meant": False, "unsaid_float": 0} | changes


@pytest.mark.parametrize(
    ("changes", "holds"),
    [
        ({}, True),
        ({"drop": 0.01}, True),
        ({"drop": 0.0101}, False),
        ({"whole": {"drop": 0.02}}, False),
        ({"second": {"drop": 0.06}}, False),
        ({"second": {"drop": 0.05}}, True),
        ({"drop": float("nan")}, False),
        ({"drop": None}, False),
    ],
)
def test_every_stated_limit_counts(
    module: Callable[[str], ModuleType], digits: Path, changes: Row, holds: bool
) -> None:
    from dataclasses import replace

    case = replace(module("case").read_case(digits), max_drop=0.01, second_max_drop=0.05)
    assert module("proving").held(case, row(**changes)) is holds


def test_a_case_is_proven_by_both_runtimes_or_refused_as_meant(module: Callable[[str], ModuleType]) -> None:
    as_meant = module("proving").as_meant
    assert as_meant({"runtimes": {"onnxruntime": row(), "openvino": row()}})
    assert not as_meant({"runtimes": {"onnxruntime": row()}})
    for bad in ({"exit_code": 1}, {"held": False}, {"verify_exit_code": 1}, {"unsaid_float": 2}):
        assert not as_meant({"runtimes": {"onnxruntime": row(), "openvino": row(**bad)}})
    assert as_meant({"runtimes": {"onnxruntime": row(), "openvino": row(exit_code=69, refused_as_meant=True)}})


@pytest.mark.parametrize(
    ("entry", "words", "meant"),
    [
        ({"exit_code": 69, "problem": "cannot take onnx.x::Quant"}, ("Quant", "onnx.x"), True),
        ({"exit_code": 69, "problem": "cannot take Quant"}, ("Quant", "onnx.x"), False),
        ({"exit_code": 70, "problem": "cannot take onnx.x::Quant"}, ("Quant", "onnx.x"), False),
        ({"exit_code": 69, "problem": "cannot take onnx.x::Quant"}, None, False),
    ],
)
def test_a_refusal_is_meant_where_it_is_expected_and_names_what_it_should(
    module: Callable[[str], ModuleType], entry: Row, words: tuple[str, ...] | None, meant: bool
) -> None:
    assert module("proving").refused(entry, words) is meant


def test_the_table_has_one_cell_for_each_heading(module: Callable[[str], ModuleType]) -> None:
    case = {"metric": "metric.py:cer", "max_drop": 0.01, "second_max_drop": 0.05, "exit_code": 0}
    refused = case | {"runtimes": {"openvino": row(whole=None, exit_code=69, refused_as_meant=True)}}
    failed = case | {"runtimes": {"onnxruntime": row(whole=None, exit_code=70, problem="a bug")}}
    proven = case | {"runtimes": {"onnxruntime": row(second={"drop": 0.02}), "openvino": row(held=False, exit_code=1)}}
    silent = {"runtimes": {}, "exit_code": 2, "problem": "no such file"}
    cases = {"a": refused, "b": failed, "c": proven, "d": silent}
    lines = module("proving").table({"cases": cases}).splitlines()
    assert len(lines) == 2 + 5
    assert {line.count("|") for line in lines} == {12}
    assert "| int8 (x), 2 layers float | 0.30 | cer |" in lines[4]
    assert lines[5].endswith("| **no**, exit 1 |")


@pytest.mark.parametrize(
    ("kernels", "reasons", "unexplained"),
    [
        ({}, [], 0),
        ({"Gemm": 36, "MultiHeadAttention": 6}, ["6 x MultiHeadAttention stay float: no integer form (a, b, ...)"], 36),
        (
            {"FusedMatMul": 2, "MatMul": 2},
            ["4 x MatMul stay float: its weight is computed", "2 x Add stay float: x"],
            0,
        ),
        ({"Conv": 1}, ["Sigmoid stays float: x", "Conv stays float: left in float on request"], 0),
    ],
)
def test_float_layers_without_a_reason_are_counted(
    module: Callable[[str], ModuleType], kernels: dict[str, int], reasons: list[str], unexplained: int
) -> None:
    assert module("kernels").unsaid(kernels, reasons) == unexplained


def test_float_kernels_are_read_from_what_the_runtimes_made(module: Callable[[str], ModuleType], digits: Path) -> None:
    model = digits / "model.onnx"
    assert sum(module("kernels").float_kernels_onnxruntime(model).values()) == 4
    assert sum(module("kernels").float_kernels_openvino(model, "f32").values()) == 4


@pytest.mark.full
def test_digits_is_proven_and_recorded(run_script: RunScript, digits: Path, tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    record.write_text(json.dumps({"schema": "of another time"}))
    where = ("--into", digits.parent, "--record", record, "--bundles", tmp_path / "bundles")
    done = run_script("cases", "prove", "digits", *where)
    assert done.returncode == 0, done.stderr
    case = json.loads(record.read_text())["cases"]["digits"]
    assert set(case["runtimes"]) == {"onnxruntime", "openvino"}
    for runtime, found in case["runtimes"].items():
        assert found["held"] is True
        assert found["precision"] == "int8"
        assert found["whole"]["n"] == 597
        assert (tmp_path / "bundles" / "digits" / f"native-{runtime}.ewb").is_file()
    assert str(tmp_path) not in record.read_text()
    assert run_script("cases", "table", "--record", record).stdout == done.stdout
