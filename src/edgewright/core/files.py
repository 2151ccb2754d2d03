"""Files that are absent or complete, and digests of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from edgewright.core.errors import CannotWriteError, IOFailureError

_CHUNK_BYTES = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 in hex, read in pieces of 1 MiB."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Opens a temporary file beside ``path`` that takes its place, flushed to disk, when the block ends well.

    Where the system can (Linux), the temporary file has no name until it is complete, so that even ``kill -9``
    leaves nothing behind.

    Raises:
        CannotWriteError: when the folder is missing or not writable; an existing ``path`` stays as it is.
        IOFailureError: when the disk is full or fails while writing.
    """
    try:
        file, name = _open_beside(path)
    except OSError as error:
        raise CannotWriteError(f"cannot write {path}: {error.strerror}", "Choose a folder you may write to.") from error
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            if name is None:
                name = _link(file.fileno(), path)
        Path(name).replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        _forget(name)
        raise IOFailureError(f"writing {path} failed: {error.strerror}", _remedy(error)) from error
    except BaseException:
        _forget(name)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Writes ``data`` so that ``path`` is either as before or whole.

    Raises:
        CannotWriteError, IOFailureError: as :func:`replacing`.
    """
    with replacing(path) as file:
        file.write(data)


def _open_beside(path: Path) -> tuple[IO[bytes], str | None]:
    folder = path.parent
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o644), "w+b"), None
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:64]}.", suffix=".tmp", dir=folder)
    return os.fdopen(handle, "w+b"), name


def _link(descriptor: int, path: Path) -> str:
    """Gives the unnamed file a name beside ``path``; only the instant before the rename can leave it behind."""
    name = str(path.with_name(f".{path.name[:64]}.{os.getpid()}.tmp"))
    _forget(name)
    os.link(f"/proc/self/fd/{descriptor}", name, follow_symlinks=True)
    return name


def _forget(name: str | None) -> None:
    if name is not None:
        with contextlib.suppress(OSError):
            Path(name).unlink()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remedy(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "The disk is full: free some space and run the command again."
    return "Run the command again; nothing that existed before was changed."
