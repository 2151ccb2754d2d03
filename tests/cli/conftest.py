"""What tests of the command share: the command in this process, and measurements of a moment."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Protocol

import pytest

from edgewright.benchmarks.harness import protocol
from edgewright.benchmarks.harness.protocol import Preset, WarmUp, Windows
from edgewright.benchmarks.harness.scenarios import SINGLE_STREAM, Scenario
from edgewright.cli import main


class RunHere(Protocol):
    """Runs these words in this process, where what a test has changed of the protocol holds."""

    def __call__(self, *args: str | Path) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def run_here(capsys: pytest.CaptureFixture[str]) -> RunHere:
    """The command as :func:`run_cli` answers, without another interpreter's start."""

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        words = [str(word) for word in args]
        capsys.readouterr()
        code = main(words)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, said.out, said.err)

    return run


@pytest.fixture
def own_lock(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own: it waits for nobody else who is timing on this machine."""
    folder = tmp_path_factory.mktemp("lock")
    monkeypatch.setenv("TMPDIR", str(folder))  # of the processes that are started
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def moments(own_lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step of the protocol and none of its length: one short run, and any engine is warm at once."""
    del own_lock
    monkeypatch.setattr(protocol, "LEAST_RUN_SECONDS", 0.05)
    warm = WarmUp(least_seconds=0.05, most_seconds=0.5, unsteady_seconds=0.1, span=10.0, trend=10.0)

    def named(name: str, scenario: Scenario = SINGLE_STREAM) -> protocol.Protocol:
        return protocol.Protocol(Preset(name, 64, 0.1, 1), Windows(5, 0.01), warm, scenario)

    monkeypatch.setattr("edgewright.benchmarks.bench.protocol_named", named)
