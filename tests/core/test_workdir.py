from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edgewright.core import workdir
from edgewright.core.workdir import working_folder

HOLD = """
import time
from edgewright.core.workdir import working_folder
with working_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def test_it_is_gone_afterwards_even_when_the_block_raises() -> None:
    seen: list[Path] = []

    def fail_inside() -> None:
        with working_folder() as folder:
            seen.append(folder)
            (folder / "file").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_inside()
    assert not seen[0].exists()


def test_the_folder_of_a_killed_process_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    child = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout is not None
    folder = Path(child.stdout.readline().strip())
    with working_folder():
        assert folder.exists()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 5
    while folder.exists() and time.monotonic() < deadline:
        with working_folder():
            pass
    assert not folder.exists()


def test_a_folder_that_another_process_sweeps_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two commands that start together, as in a parallel build."""
    take, swept = fcntl.flock, []

    def late(lock: int, how: int) -> None:
        if not how & fcntl.LOCK_NB and not swept:
            swept.append(True)
            workdir._sweep(tmp_path)
        take(lock, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with working_folder() as folder:
        assert swept
        (folder / "file").write_text("x")
    assert list(tmp_path.iterdir()) == []
