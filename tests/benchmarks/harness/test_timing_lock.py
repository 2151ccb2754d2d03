"""Processes of their own: what the lock keeps apart are commands, not threads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from edgewright.core.errors import CannotWriteError

HOLD = """
import sys, time
from edgewright.benchmarks.harness.timing_lock import timing_lock
device, seconds, times = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
for _ in range(times):
    with timing_lock(device, lambda line: print(line, flush=True)):
        print("begin", time.monotonic_ns(), flush=True)
        time.sleep(seconds)
        print("end", time.monotonic_ns(), flush=True)
"""


def holder(folder: Path, device: str = "cpu", seconds: float = 0.05, times: int = 1) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", HOLD, device, str(seconds), str(times)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)})


def spans(said: str) -> list[tuple[int, int]]:
    moments = [line.split() for line in said.splitlines() if line.startswith(("begin ", "end "))]
    assert [word for word, _ in moments] == ["begin", "end"] * (len(moments) // 2)
    stamps = [int(moment) for _, moment in moments]
    return list(zip(stamps[::2], stamps[1::2], strict=True))


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_processes_never_hold_it_together(tmp_path: Path) -> None:
    processes = [holder(tmp_path, times=5) for _ in range(3)]
    held: list[tuple[int, int]] = []
    for process in processes:
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        held += spans(said)
    held.sort()
    assert len(held) == 15
    assert all(end <= begin for (_, end), (begin, _) in pairwise(held))


def test_it_goes_with_a_holder_that_is_killed(tmp_path: Path) -> None:
    first = holder(tmp_path, seconds=600)
    try:
        assert line_of(first).startswith("begin ")
        second = holder(tmp_path)
        assert line_of(second).startswith("waiting: another edgewright is timing on the cpu")
        killed = time.monotonic_ns()
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=30)
        said, _ = second.communicate(timeout=30)
        ((begin, _),) = spans(said)
        assert begin > killed
        assert second.returncode == 0
    finally:
        first.kill()
        first.communicate()


def test_devices_have_locks_of_their_own(tmp_path: Path) -> None:
    first = holder(tmp_path, "cpu", seconds=600)
    try:
        assert line_of(first).startswith("begin ")
        said, _ = holder(tmp_path, "cuda").communicate(timeout=60)
        assert "waiting" not in said
        assert len(spans(said)) == 1
    finally:
        first.kill()
        first.communicate()


def test_a_folder_that_takes_no_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    from edgewright.benchmarks.harness.timing_lock import timing_lock

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with pytest.raises(CannotWriteError, match="cannot make"), timing_lock():
        pass
