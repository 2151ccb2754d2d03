"""Temporary folders that a killed process does not leave for ever."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "edgewright-work-"
_LOCK = ".lock"


@contextlib.contextmanager
def working_folder() -> Iterator[Path]:
    """A private folder that is gone afterwards; folders whose owner was killed (``kill -9``) are swept on the way in.

    The owner holds a lock on a file inside, which the system lets go when the process ends in whatever way.
    """
    root = Path(tempfile.gettempdir())
    _sweep(root)
    folder, lock = _locked_folder(root)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(root: Path) -> tuple[Path, int]:
    """A new folder and the lock inside, which is held.

    Between the making of the lock and its taking, another process that starts may take it, hold the folder for one of a
    killed owner and sweep it: then it is made again.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=root))
        lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:
            return folder, lock
        os.close(lock)


def _sweep(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            # A folder without a lock file was made an instant ago by another process: it is left alone.
            lock = os.open(folder / _LOCK, os.O_RDWR)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
