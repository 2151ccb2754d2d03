from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import wilcoxon

from .conftest import ROOT, RunScript


@pytest.mark.parametrize(("pairs", "cut"), [(5, 0), (6, 1), (8, 4), (10, 9), (20, 53)])
def test_cut_of_the_signed_rank_interval(paired: ModuleType, pairs: int, cut: int) -> None:
    # One above the two-sided 5 % critical values of Wilcoxon's table: none, 0, 3, 8, 52.
    assert paired.lower_cut(pairs, 0.025) == cut


def test_interval_and_test_agree(paired: ModuleType) -> None:
    logs = [0.031, -0.004, 0.022, 0.017, 0.009, 0.040, 0.013, -0.002]
    _, low, _ = paired.ratio([(math.exp(v), 1.0) for v in logs])
    for shift, inside in ((math.log(low) - 1e-4, False), (math.log(low) + 1e-4, True)):
        p = wilcoxon([v - shift for v in logs], alternative="two-sided", method="exact").pvalue
        assert (p > 0.05) == inside


def test_ratio_is_not_moved_by_one_wild_pair(paired: ModuleType) -> None:
    estimate, _, _ = paired.ratio([(1.1, 1.0)] * 7 + [(50.0, 1.0)])
    assert estimate == pytest.approx(1.1, rel=1e-6)


def test_compare_measures_both_runtimes_and_says_what_is_absent(
    run_script: RunScript, digits: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours" / "digits" / "onnxruntime"
    ours.mkdir(parents=True)
    shutil.copyfile(digits / "model.onnx", ours / "model.onnx")
    record = tmp_path / "record.json"
    little = ("--pairs", "1", "--threads", "1", "--seconds", "0.01", "--inferences", "4")
    where = ("--cases", digits.parent, "--ours", tmp_path / "ours", "--peers", tmp_path / "peers", "--record", record)
    done = run_script("peers/compare.py", "digits", *where, *little, "--against", "float32", "ort-u8s8")
    assert done.returncode == 0, done.stderr
    rows = json.loads(record.read_text())["cases"]["digits"]
    assert set(rows) == {"onnxruntime"}
    assert "nothing of ours" in done.stderr
    measured, absent = rows["onnxruntime"]["float32"], rows["onnxruntime"]["ort-u8s8"]
    assert measured["status"] == "measured"
    assert measured["ratio"] == pytest.approx(measured["pairs"][0][0] / measured["pairs"][0][1], rel=1e-3)
    assert measured["ratio_ci95"] is None
    assert absent["status"] == "absent"
    assert str(tmp_path) not in record.read_text()


def test_recorded_accuracy_names_no_machine_path() -> None:
    path = ROOT / "benchmarks" / "peers" / "accuracy.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    assert set(record) == {"schema", "machine", "versions", "cases"}
    for case in record["cases"].values():
        for row in case["schemes"].values():
            assert row["status"] in ("built", "failed")
    assert not re.search(r"(^|[\s\"':(])/\w+/", path.read_text(encoding="utf-8")), "an absolute path"
