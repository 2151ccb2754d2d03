"""How long the command takes to start, as a user feels it: a process of its own, files already in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 10


@pytest.mark.parametrize("words", ["--version", "--help", "bench --help"])
def test_cold_start(benchmark: BenchmarkFixture, words: str) -> None:
    assert b"edgewright" in started(benchmark, *words.split())


@pytest.mark.parametrize("verb", ["inspect", "verify"])
def test_on_a_bundle(benchmark: BenchmarkFixture, verb: str, digits_bundle: Path) -> None:
    """A bundle of a small model: opening and checking it, and for ``verify`` an engine in a process of its own."""
    assert started(benchmark, verb, str(digits_bundle))


def started(benchmark: BenchmarkFixture, *words: str) -> bytes:
    """What the command prints; it must succeed."""
    benchmark.group = "cold start"
    command = [sys.executable, "-m", "edgewright", *words]
    done = benchmark.pedantic(
        subprocess.run, (command,), {"capture_output": True, "check": True}, rounds=ROUNDS, warmup_rounds=1
    )
    return bytes(done.stdout)
