"""The micro-benchmarks still run; ``make bench`` is what times them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
A_FEW = "range_finding or cold_start[--version] or 5000_nodes[fold-constants]"


def run(*words: str) -> str:
    command = [sys.executable, "-m", "pytest", "benchmarks/micro", "-q", "-pno:cacheprovider", *words]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(command, cwd=ROOT, env=outside, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_there_is_one_of_each_kind() -> None:
    listed = run("--collect-only")
    found = set(re.findall(r"benchmarks/micro/\w+\.py::(\w+)", listed))
    assert found == {"test_cold_start", "test_on_a_bundle", "test_pass_on_5000_nodes", "test_range_finding"}
    assert listed.count("::test_pass_on_5000_nodes[") >= 10


@pytest.mark.full
def test_a_few_of_them_run() -> None:
    assert "3 passed" in run("--benchmark-disable", "-k", A_FEW)


@pytest.mark.full
def test_all_of_them_run() -> None:
    assert " passed" in run("--benchmark-disable")
