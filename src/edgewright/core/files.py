"""Files that are absent or complete, and digests of them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from edgewright.core.errors import BadInputError, CannotWriteError, IOFailureError, UsageError

_CHUNK_BYTES = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 in hex, read in pieces of 1 MiB."""
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            hasher.update(chunk)
    return hasher.hexdigest()


def open_regular(path: Path, what: str = "the file") -> IO[bytes]:
    """Opens a user's file for reading; never blocks on what only looks like one.

    Args:
        path: may be a link to a regular file.
        what: what messages call it, such as ``the model``.

    Raises:
        UsageError: when there is nothing at ``path``.
        BadInputError: when it is a folder, a FIFO, a device or a socket, or may not be read.
    """
    try:
        # O_NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{what} {path} does not exist", "Check the path.") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadInputError(f"cannot read {what} {path}: {reason}", "Give a regular file you may read.") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise BadInputError(f"{what} {path} is {_kind(mode)}, not a regular file", "Give a regular file.")
    return os.fdopen(descriptor, "rb")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")


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


def require_apart(outputs: Mapping[str, Path | None], inputs: Iterable[Path | None]) -> None:
    """Lets through outputs that write over nothing that goes in, nor over one another.

    Args:
        outputs: files and folders to be written, by the option that names each; None is one that was not given.
        inputs: files that are read, and folders that are read as one thing; None is nothing.

    Raises:
        UsageError: an output is an input, lies in a folder that is one, or is another output.
    """
    read = {path.resolve() for path in inputs if path is not None}
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        whole = path.resolve()
        found = next((one for one in (whole, *whole.parents) if one in read), None)
        if found is not None:
            what = path.name if found == whole else f"{path.name} lies in {found.name}, which"
            raise UsageError(f"{what} goes in and would be written over", f"Give {option} another name.")
        if whole in taken:
            raise UsageError(f"{taken[whole]} and {option} are both {path}", "Give them two names.")
        taken[whole] = option


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
    # With a folder's descriptor CPython calls linkat with AT_SYMLINK_FOLLOW; without one (seen in 3.11) plain link(),
    # which would link the entry in /proc itself.
    folder = os.open("/proc/self/fd", os.O_RDONLY)
    try:
        os.link(str(descriptor), name, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)
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
