"""Entries by key: published whole or not at all, checked on every read, the least recently used leave first.

Two processes may publish the same thing: the first wins. That only one computes it is the matter of ``flight.py``.
A reader holds its entry's file open under a shared lock, so that eviction passes over it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from edgewright.core.cache.differences import differences
from edgewright.core.cache.entry import (
    BrokenEntryError,
    Header,
    Kept,
    Key,
    Part,
    check_whole,
    pack,
    read_header,
    unpack,
    unpack_all,
)

TEMPORARY = "tmp"
"""Folder of what is being written, and of the locks of what is being computed: none of it is an entry."""
_NEAR = 0.5
"""An entry that shares less than this of its parts is no explanation of a miss."""
_SETTLED_S = 60.0
"""A temporary file this old that nobody has locked is nobody's."""


class Hit:
    """An entry that was found and is whole; a context manager, and safe from eviction until it ends."""

    def __init__(self, file: IO[bytes], header: Header) -> None:
        self._file, self._header = file, header
        self.created, self.value = header.created, header.value
        self.names: Sequence[str] = [one.name for one in header.files]

    def read(self, name: str) -> bytes:
        """One file's bytes.

        Raises:
            KeyError: the entry has no such file.
        """
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """One file's bytes, at most 1 MiB at a time.

        Raises:
            KeyError: the entry has no such file.
        """
        return unpack(self._file, self._header, name)

    def copy_into(self, folder: Path) -> None:
        """Writes every file into ``folder``, under its name.

        Raises:
            ValueError: a name leads out of the folder; nothing that is published here has such a name.
        """
        for name in self.names:
            pure = PurePosixPath(name)
            if pure.is_absolute() or ".." in pure.parts or not pure.name:
                raise ValueError(f"'{name}' is no name of a file of its own")
        for name, pieces in unpack_all(self._file, self._header):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.writelines(pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass(frozen=True)
class Miss:
    """Nothing is kept under a key, and why."""

    reason: str
    absent: bool = False
    """Whether there simply is no such entry: :meth:`Store.nearest` tells what comes near."""


@dataclass(frozen=True)
class Verified:
    """An entry that was read whole; ``problem`` is empty for one that is in order."""

    kept: Kept
    problem: str


@dataclass(frozen=True)
class Store:
    """The entries in one folder."""

    folder: Path
    limit_bytes: int
    _tally: list[int] = field(default_factory=list, repr=False, compare=False)
    """Bytes there are, as far as this process knows: when that is too much, all are counted again."""

    def __post_init__(self) -> None:
        self._tally.append(self.limit_bytes)  # so that the first to be published has the others counted

    def find(self, key: Key) -> Hit | Miss:
        """What is kept under ``key``, checked; a broken entry is dropped and counts as a miss."""
        path = self._path(key)
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return Miss("nothing is kept under this key", absent=True)
        except OSError as error:
            return Miss(f"the entry cannot be read: {error.strerror}")
        try:
            _lock(file, fcntl.LOCK_SH)
            header = check_whole(file)
        except (BrokenEntryError, OSError) as error:
            file.close()
            _unlink(path)
            return Miss(f"the entry was broken and is dropped: {error}")
        if header.key.digest != key.digest:
            file.close()
            _unlink(path)
            return Miss("the entry was another one's under a wrong name, and is dropped")
        with contextlib.suppress(OSError):  # a folder that may only be read: then nothing is evicted either
            os.utime(file.fileno(), ns=_clock())
        return Hit(file, header)

    def has(self, key: Key) -> bool:
        """Whether there is an entry, whole or not."""
        return self._path(key).exists()

    def publish(self, key: Key, value: Part, files: Mapping[str, Path | bytes] | None = None) -> str:
        """Keeps ``value`` and ``files`` under ``key``, unless another process was first.

        Returns:
            Why nothing is kept; empty when all is well. A cache that fails is no failure of the work.
        """
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._temporary() as (file, name):
                size = pack(file, key, _now(), value, files or {})
                if size > self.limit_bytes:
                    return f"its {size} bytes are more than the cache may hold"
                file.flush()
                os.utime(file.fileno(), ns=_clock())
                _name(name, path)
        except OSError as error:
            return f"it cannot be written: {error.strerror or error}"
        self._tally[0] += size
        if self._tally[0] > self.limit_bytes:
            self.evict(spare=path)
        return ""

    def evict(self, spare: Path | None = None) -> int:
        """Deletes what was not used for longest, until the rest is within the limit.

        Args:
            spare: an entry that stays.

        Returns:
            How many entries were deleted.
        """
        found = sorted(self._files(), key=lambda one: one[1].st_mtime_ns)
        total, count = sum(state.st_size for _, state in found), 0
        for path, state in found:
            if total <= self.limit_bytes:
                break
            if path != spare and _unlink_unread(path):
                total -= state.st_size
                count += 1
        self._tally[0] = total
        return count

    def entries(self, kind: str = "*") -> list[Kept]:
        """All entries (of one kind), the last used first; of each only the header is read."""
        found = sorted(self._files(kind), key=lambda one: (-one[1].st_mtime_ns, one[0]))
        return [one for path, state in found if (one := self._kept(path, state)) is not None]

    def verify(self) -> Iterator[Verified]:
        """Reads every entry whole and drops those that are broken."""
        for one in self.entries():
            problem = one.problem
            try:
                with one.path.open("rb") as file:
                    _lock(file, fcntl.LOCK_SH)
                    header = check_whole(file)
                    named = (one.kind, one.digest) == (header.key.kind, header.key.digest)
                    problem = "" if named else "its name is another key's"
            except FileNotFoundError:
                continue  # evicted by another process meanwhile
            except (BrokenEntryError, OSError) as error:
                problem = str(error)
            if problem:
                _unlink(one.path)
            yield Verified(one, problem)

    def clear(self, kind: str | None = None, unused_since: float | None = None) -> list[Kept]:
        """Deletes entries, those being read excepted.

        Args:
            kind: only of this one; None for all.
            unused_since: only those whose last use was before, in seconds since the epoch.

        Returns:
            What was deleted.
        """
        chosen = [one for one in self.entries() if kind in (None, one.kind)]
        chosen = [one for one in chosen if unused_since is None or one.used < unused_since]
        return [one for one in chosen if _unlink_unread(one.path)]

    def nearest(self, key: Key) -> tuple[str, Sequence[str]]:
        """Why ``key`` has no entry: a word on what there is, and a line for each part that is otherwise.

        The entry of the same kind with the most parts alike, the last used among equals, says what is new.
        """
        best: tuple[float, list[str]] | None = None
        for one in self.entries(key.kind):
            if one.header is not None:
                alike, lines = differences(one.header.key.parts, key.parts)
                if best is None or alike > best[0]:
                    best = (alike, lines)
        if best is None:
            return "nothing of this kind is kept", ()
        if best[0] < _NEAR:
            return "nothing like it is kept", ()
        return "it is not the same as what is kept", best[1]

    def _path(self, key: Key) -> Path:
        return self.folder / key.kind / key.digest[:2] / key.digest

    def _files(self, kind: str = "*") -> list[tuple[Path, os.stat_result]]:
        found = []
        for path in self.folder.glob(f"{kind}/??/*"):
            with contextlib.suppress(OSError):  # evicted by another process meanwhile
                found.append((path, path.stat()))
        return found

    def _kept(self, path: Path, state: os.stat_result) -> Kept | None:
        header, problem = None, ""
        try:
            with path.open("rb") as file:
                header = read_header(file)
        except FileNotFoundError:
            return None
        except (BrokenEntryError, OSError) as error:
            problem = str(error)
        return Kept(path, state.st_size, state.st_mtime, path.parent.parent.name, path.name, header, problem)

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[tuple[IO[bytes], str]]:
        """A locked file that is gone afterwards; those of processes that were killed are swept on the way."""
        folder = self.folder / TEMPORARY
        folder.mkdir(exist_ok=True, mode=0o700)
        for left in folder.iterdir():
            with contextlib.suppress(OSError):  # its process took it away meanwhile
                if left.stat().st_mtime < time.time() - _SETTLED_S:
                    _unlink_unread(left)
        handle, name = tempfile.mkstemp(dir=folder)  # mode 0600
        with os.fdopen(handle, "wb") as file:
            _lock(file, fcntl.LOCK_EX)
            try:
                yield file, name
            finally:
                _unlink(Path(name))


def _lock(file: IO[bytes], how: int) -> None:
    with contextlib.suppress(OSError):  # a file system without locks: an open file is safe from deletion anyway
        fcntl.flock(file.fileno(), how)


def _name(temporary: str, path: Path) -> None:
    """Gives the entry its name, unless there is one of that name; either of two at once has the same content."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        Path(temporary).replace(path)  # a file system without links


def _unlink(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _unlink_unread(path: Path) -> bool:
    """Deletes a file that no process reads or writes at the moment."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:
        return False
    return True


def _clock() -> tuple[int, int]:
    """Finer than what the system writes by itself, so that the order of two uses is known."""
    return time.time_ns(), time.time_ns()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
