"""The process of a cell is played by a script that does as its plan says."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edgewright.benchmarks.gpu_check import session
from edgewright.benchmarks.gpu_check.plan import QUICK, CellPlan
from edgewright.benchmarks.gpu_check.session import run_cell

CELL = """
import json, os, pathlib, sys, time
plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
for arm in plan["arms"]:
    pathlib.Path(plan["place"]).write_text(arm)
    if arm == "always-fp32":
        sys.exit(4)
    if arm not in plan["skip"]:
        if arm == "crash-fp32":
            os.abort()
        if arm == "hang-fp32":
            time.sleep(600)
        if arm == "leave-fp32":
            sys.exit(3)
pathlib.Path(plan["out"]).write_text(json.dumps({"skipped": plan["skip"], "ends": plan["ends"]}))
"""


@pytest.fixture(autouse=True)
def fake_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fake_cell.py").write_text(CELL)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(session, "_MODULE", "fake_cell")
    monkeypatch.setattr(session, "_GRACE_S", 0.0)
    monkeypatch.setattr(session, "_WORTH_TRYING_S", 0.5)


def plan(folder: Path, *arms: str, seconds: float = 30.0) -> CellPlan:
    out, place = str(folder / "out.json"), str(folder / "place")
    return CellPlan("tiny", 1, "cpu", arms, time.monotonic() + seconds, QUICK, out, place, str(folder / "work"))


def test_an_arm_that_crashes_is_named_and_the_others_are_measured(tmp_path: Path) -> None:
    found = run_cell(plan(tmp_path, "eager-fp32", "crash-fp32", "leave-fp32", "compile-fp32"))
    assert found["skipped"] == {
        "crash-fp32": "took its process down (SIGABRT)",
        "leave-fp32": "took its process down (exit code 3)",
    }
    assert float(str(found["ends"])) < time.monotonic() + 30.0  # attempts that fail do not move the end


def test_what_goes_wrong_without_the_arm_too_is_not_tried_until_the_time_is_up(tmp_path: Path) -> None:
    start = time.monotonic()
    found = run_cell(plan(tmp_path, "eager-fp32", "always-fp32", seconds=60))
    assert time.monotonic() - start < 30
    arms = found["arms"]
    assert isinstance(arms, dict)
    assert (arms["always-fp32"]["status"], arms["eager-fp32"]["status"]) == ("failed", "not run")


def test_a_cell_that_hangs_ends_in_time_and_says_why(tmp_path: Path) -> None:
    start = time.monotonic()
    found = run_cell(plan(tmp_path, "eager-fp32", "hang-fp32", seconds=1.5))
    assert time.monotonic() - start < 10
    arms = found["arms"]
    assert isinstance(arms, dict)
    assert (arms["hang-fp32"]["status"], arms["eager-fp32"]["status"]) == ("failed", "not run")
    assert "did not finish within" in arms["hang-fp32"]["reason"]
    assert "did not finish within" in arms["eager-fp32"]["reason"]
