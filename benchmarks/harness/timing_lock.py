"""One timing at a time per device: two processes that time each other's noise measure nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from edgewright.core.errors import CannotWriteError


def timing_lock(
    device: str = "cpu", log: Callable[[str], None] = lambda _line: None
) -> contextlib.AbstractContextManager[None]:
    """Holds this machine's right to time on ``device`` while the block runs; waits for it, and says so.

    Args:
        device: what is timed, ``cpu``, ``gpu``; each has a lock of its own.
        log: takes the line that says it has to wait.

    Raises:
        CannotWriteError: when the folder of temporary files takes no file.
    """
    waiting = f"waiting: another edgewright is timing on the {device.lower()} of this machine"
    return machine_lock(f"timing-{device.lower()}", waiting, log)


@contextlib.contextmanager
def machine_lock(name: str, waiting: str, log: Callable[[str], None] = lambda _line: None) -> Iterator[None]:
    """Holds a lock of this machine while the block runs; says ``waiting`` when somebody else has it.

    The lock is the system's (flock): it goes with its process, however that ends, and needs no clean-up.

    Raises:
        CannotWriteError: when the folder of temporary files takes no file.
    """
    path = Path(tempfile.gettempdir()) / f"edgewright-{re.sub('[^a-z0-9]', '-', name)}.lock"
    descriptor = _open(path)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(waiting)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Reading is enough to lock, so that a file which another user made serves too."""
    try:
        return os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        pass
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotWriteError(
            f"cannot make {path}: {error.strerror}", "Point TMPDIR to a folder you may use."
        ) from error
