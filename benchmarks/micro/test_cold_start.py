"""How long the command takes to start, as a user feels it: a process of its own, files already in memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pytest_benchmark.fixture import BenchmarkFixture


@pytest.mark.parametrize("words", ["--version", "--help", "bench --help"])
def test_cold_start(benchmark: BenchmarkFixture, words: str) -> None:
    benchmark.group = "cold start"
    command = [sys.executable, "-m", "edgewright", *words.split()]
    done = benchmark.pedantic(
        subprocess.run, (command,), {"capture_output": True, "check": True}, rounds=10, warmup_rounds=1
    )
    assert b"edgewright" in done.stdout
