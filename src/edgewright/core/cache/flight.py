"""One process at a time computes one thing; who comes second waits for what the first keeps.

The lock is the system's (flock) on a file in the cache: it goes with its process, however that ends, and no child
inherits it. Where there are no such locks, or the file cannot be made, nobody waits for anybody.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from edgewright.core.cache.entry import Key
from edgewright.core.cache.store import TEMPORARY, Store

_PATIENCE_S, _PAUSE_S = 0.5, 0.02
"""So long it is tried before it is said that one waits: what is quick is not worth a word."""


@dataclass
class Flights:
    """The keys that this process computes; a context manager, which lets go of all of them.

    Several are begun in one order by everybody, or two processes could wait for each other.
    """

    store: Store
    _held: dict[str, int] = field(default_factory=dict)

    def begin(self, key: Key, waits: Callable[[], None]) -> bool:
        """Makes the computing of ``key`` this process's own, or waits for the end of another's.

        Whatever it returns, the cache is to be looked into again: another may have ended an instant before.

        Args:
            waits: called before it waits for longer than an instant.

        Returns:
            False where another process was at it and has ended; whether it kept anything is not known.
        """
        if key.digest in self._held:
            return True
        path = self._path(key.digest)
        patient_until = time.monotonic() + _PATIENCE_S
        while True:
            with contextlib.ExitStack() as undo:
                try:
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # closed in every child, as all of Python's
                    undo.callback(os.close, handle)
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() < patient_until:
                        time.sleep(_PAUSE_S)
                        continue
                    waits()
                    fcntl.flock(handle, fcntl.LOCK_SH)  # all who wait go on together; a signal ends it
                    return False
                except OSError:
                    return True  # no locks here, or no place for them
                if _is_at(handle, path):  # else who held it has deleted it, and others have made another
                    undo.pop_all()
                    self._held[key.digest] = handle
                    return True

    def end(self, key: Key) -> None:
        """Lets go of ``key``, so that those who wait look for what was kept."""
        self._end(key.digest)

    def _end(self, digest: str) -> None:
        if (handle := self._held.pop(digest, None)) is None:
            return
        path = self._path(digest)
        with contextlib.suppress(OSError):
            if _is_at(handle, path):
                path.unlink()
        os.close(handle)

    def _path(self, digest: str) -> Path:
        return self.store.folder / TEMPORARY / f"flight-{digest}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for digest in list(self._held):
            self._end(digest)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except OSError:
        return False
