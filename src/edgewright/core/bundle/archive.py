"""Zips of stored members: written as the same bytes for the same content, read with suspicion.

What is written here is never compressed, so a reader need not decompress anything: whatever claims to be larger than
the bytes that are there, is a bomb, and is refused by arithmetic on the directory.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO

from edgewright.core.errors import BadInputError

CHUNK_BYTES = 1 << 20
MAX_MEMBERS = 10_000
_MAX_DIRECTORY_BYTES = 4 << 20
_FIRST_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_FIRST_DOS_DATE = 33
_UNIX = 3
_REGULAR = (stat.S_IFREG | 0o644) << 16
_VERSION = 20
"""Of the format that is needed to read it (APPNOTE.TXT 4.4.3): 2.0."""
_SAFE_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
MAX_DEPTH = 6
_BROKEN = (
    zipfile.BadZipFile,
    EOFError,
    LookupError,
    NotImplementedError,
    OverflowError,
    RuntimeError,  # zipfile's word for an encrypted member
    ValueError,
    struct.error,
)
_AS_WRITTEN = "Take the file as 'compile' wrote it; unzipped into a folder it is the same bundle."
REMEDY = "The file is damaged or was changed: copy it again from where it was made, or compile the model again."


def problem_with_name(name: str) -> str | None:
    """Says why ``name`` cannot be a member of a bundle, or None when it can.

    Members are relative POSIX paths of ASCII letters, digits, ``.``, ``_`` and ``-``; so nothing can climb out of a
    folder, hide, or mean another file on another system.

    >>> problem_with_name("engine/model.onnx"), problem_with_name("../x")
    (None, "has the part '..', which is not a plain file name")
    """
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", name):
        return "is an absolute path"
    parts = name.split("/")
    if len(parts) > MAX_DEPTH:
        return f"is {len(parts)} folders deep"
    bad = next((part for part in parts if not _SAFE_PART.fullmatch(part)), None)
    return None if bad is None else f"has the part '{bad:.80}', which is not a plain file name"


def check_names(names: Iterable[str], source: str) -> None:
    """Checks the names of all members together.

    Raises:
        BadInputError: a name that leads outside, two that are the same, or the same but for case; too many.
    """
    seen: dict[str, str] = {}
    for name in names:
        if problem := problem_with_name(name):
            raise BadInputError(f"{source}: member '{name:.200}' {problem}", REMEDY)
        if (other := seen.get(name.casefold())) is not None:
            how = "twice" if other == name else f"beside '{other}', which differs in case only"
            raise BadInputError(f"{source}: member '{name}' is there {how}", REMEDY)
        seen[name.casefold()] = name
    if len(seen) > MAX_MEMBERS:
        raise BadInputError(f"{source} has {len(seen)} members, more than {MAX_MEMBERS}", REMEDY)
    for name in seen.values():
        folder = next((str(p) for p in PurePosixPath(name).parents if str(p).casefold() in seen), None)
        if folder is not None:
            raise BadInputError(f"{source}: member '{folder}' is a file and the folder of '{name}'", REMEDY)


def add_member(archive: zipfile.ZipFile, name: str, chunks: Iterable[bytes], size: int) -> None:
    """Appends one member; no time, no owner, no compression. ``size`` decides about ZIP64 beforehand."""
    entry = zipfile.ZipInfo(name, _FIRST_ZIP_DATE)
    entry.create_system = _UNIX  # wherever this runs
    entry.external_attr = _REGULAR
    entry.file_size = size
    with archive.open(entry, "w") as member:
        for chunk in chunks:
            member.write(chunk)


@contextmanager
def open_archive(file: IO[bytes], source: str) -> Iterator[zipfile.ZipFile]:
    """Opens a zip whose directory has been checked; reading a member then checks its CRC.

    Args:
        file: a seekable file, the archive being all of it.
        source: what messages call it.

    Raises:
        BadInputError: not a zip, or one that compresses, encrypts, links, overlaps, lies about sizes, or has a name
            that is not plain. Also from the block, for what the zip library finds while reading.
    """
    try:
        _check_end(file, source)
        with zipfile.ZipFile(file) as archive:
            _check_entries(archive, source)
            yield archive
    except _BROKEN as error:
        raise BadInputError(f"{source} is a broken zip archive: {error!s:.200}", REMEDY) from error


def require_as_written(file: IO[bytes], archive: zipfile.ZipFile, source: str) -> None:
    """Lets through an archive whose every byte beside the members' own is what :func:`add_member` and zipfile write.

    So nothing can be hidden in times, owners, comments, fields that readers skip, or between members; and whatever is
    altered in such a file is noticed. Archives beyond 2 GiB have fields that releases of zipfile write differently;
    these are read with the other checks alone.

    Raises:
        BadInputError: naming the first part that differs.
    """
    entries = archive.infolist()
    if (
        any(entry.file_size * 1.05 > zipfile.ZIP64_LIMIT for entry in entries)
        or archive.start_dir > zipfile.ZIP64_LIMIT
    ):
        return
    if [entry.filename for entry in entries] != sorted(entry.filename for entry in entries):
        raise BadInputError(f"{source}: its members are not in order: it was zipped again", _AS_WRITTEN)
    end, directory = 0, b""
    for entry in entries:
        header, row = _headers(entry, end)
        file.seek(end)
        if file.read(len(header)) != header:
            raise BadInputError(f"{source}: the header of member '{entry.filename}' was edited", _AS_WRITTEN)
        end += len(header) + entry.file_size
        directory += row
    count = len(entries)
    directory += struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), end, 0)
    file.seek(end)
    if file.read(len(directory) + 1) != directory:
        raise BadInputError(f"{source}: its directory was edited, or it was zipped again", _AS_WRITTEN)


def _headers(entry: zipfile.ZipInfo, offset: int) -> tuple[bytes, bytes]:
    """What stands before a member (APPNOTE.TXT 4.3.7), and its row of the directory (4.3.12)."""
    name = entry.filename.encode("ascii")
    about = (0, 0, 0, _FIRST_DOS_DATE, entry.CRC, entry.file_size, entry.file_size, len(name), 0)
    header = struct.pack("<4s5H3L2H", b"PK\3\4", _VERSION, *about)
    made_by = _UNIX << 8 | _VERSION
    row = struct.pack("<4s6H3L5H2L", b"PK\1\2", made_by, _VERSION, *about, 0, 0, 0, _REGULAR, offset)
    return header + name, row + name


def chunks_of(file: IO[bytes]) -> Iterator[bytes]:
    """The rest of ``file`` in pieces of 1 MiB."""
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _check_end(file: IO[bytes], source: str) -> None:
    """The archive must end with a directory of sane size and without a comment (APPNOTE.TXT 4.3.16)."""
    size = file.seek(0, 2)
    if size == 0:
        raise BadInputError(f"{source} is empty", REMEDY)
    file.seek(0)
    start = file.read(4)
    file.seek(max(0, size - 22))
    end = file.read(22)
    if start not in (b"PK\3\4", b"PK\5\6"):
        raise BadInputError(f"{source} is not a zip archive, so not a bundle", "Give a file that 'compile' wrote.")
    if len(end) != 22 or end[:4] != b"PK\5\6" or end[20:] != b"\0\0":
        raise BadInputError(f"{source} is truncated, or something was appended to it", REMEDY)
    directory_bytes = struct.unpack_from("<L", end, 12)[0]
    file.seek(max(0, size - 22 - 20 - 56))
    zip64 = file.read(76)
    if zip64[56:60] == b"PK\6\7":  # a ZIP64 end record, whose size is the one that counts
        directory_bytes = max(directory_bytes, struct.unpack_from("<Q", zip64, 40)[0])
    if directory_bytes > _MAX_DIRECTORY_BYTES:
        raise BadInputError(f"{source} has a directory of {directory_bytes} bytes", REMEDY)


def _check_entries(archive: zipfile.ZipFile, source: str) -> None:
    entries = archive.infolist()
    check_names((entry.orig_filename for entry in entries), source)
    for entry in entries:
        if problem := _problem_with_entry(entry):
            raise BadInputError(f"{source}: member '{entry.filename}' {problem}", REMEDY)
    _check_layout(entries, archive.start_dir, source)


def _problem_with_entry(entry: zipfile.ZipInfo) -> str | None:
    if entry.compress_type != zipfile.ZIP_STORED:
        return "is compressed; members of a bundle are stored as they are"
    if entry.compress_size != entry.file_size:
        return f"claims {entry.file_size} bytes in {entry.compress_size}"
    if entry.flag_bits & ~0x800:
        return f"has the zip flags {entry.flag_bits:#x}; encrypted and streamed members are not taken"
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "is not a regular file (a link, a folder or a device)"
    return None


def _check_layout(entries: list[zipfile.ZipInfo], directory_start: int, source: str) -> None:
    """Members stand one after the other without overlap, from the first byte up to the directory."""
    end = 0
    for entry in sorted(entries, key=lambda item: item.header_offset):
        if entry.header_offset < end or (end == 0 and entry.header_offset != 0):
            raise BadInputError(f"{source}: member '{entry.filename}' overlaps another one or hides bytes", REMEDY)
        end = entry.header_offset + 30 + len(entry.filename) + entry.file_size
    if end > directory_start:
        raise BadInputError(f"{source} is truncated: its members need {end} bytes, it has {directory_start}", REMEDY)
