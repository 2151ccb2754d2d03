"""One entry of the cache is one file, whose every byte is covered by a digest.

Its first line is the SHA-256 of the second; the second is canonical JSON: kind, key, the named parts that the key is
made of, when it was computed, a value, and name, size and SHA-256 of each file; the files follow, one after the other.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, TypeAlias, cast

from edgewright.core import jsontext

SCHEMA = "edgewright.cache/1"
Part: TypeAlias = object
"""A JSON value: text, number, truth, None, or lists and mappings of them."""
Parts: TypeAlias = Mapping[str, Part]
_CHUNK_BYTES = 1 << 20
_SEAL_BYTES = 65
_MOST_HEADER_BYTES = 1 << 28


class BrokenEntryError(Exception):
    """Its bytes are not those that were written; the message says where."""


@dataclass(frozen=True)
class Key:
    """What something depends on, by name: the same parts are the same key."""

    kind: str
    """What is kept under it: lower-case letters and dashes."""
    parts: Parts

    @cached_property
    def digest(self) -> str:
        """SHA-256 in hex over the kind and all parts."""
        return jsontext.digest({"kind": self.kind, "parts": self.parts})


@dataclass(frozen=True)
class Packed:
    """Name, size and SHA-256 of one file of an entry."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """The second line of an entry."""

    key: Key
    created: str
    """UTC, when it was computed."""
    value: Part
    files: tuple[Packed, ...]
    length: int
    """Bytes of both lines."""

    @property
    def size(self) -> int:
        """Bytes of the whole entry."""
        return self.length + sum(one.bytes for one in self.files)


@dataclass(frozen=True)
class Kept:
    """An entry as the list shows it."""

    path: Path
    size: int
    used: float
    """Seconds since the epoch, of the last read."""
    kind: str
    digest: str
    """Its key, by its name."""
    header: Header | None
    """None where it is broken."""
    problem: str = ""


def pack(file: IO[bytes], key: Key, created: str, value: Part, files: Mapping[str, Path | bytes]) -> int:
    """Writes an entry.

    Returns:
        Its size in bytes.

    Raises:
        OSError: a file cannot be read, or the entry not written.
    """
    rows = [_row(name, files[name]) for name in sorted(files)]
    header = {"schema": SCHEMA, "kind": key.kind, "key": key.digest, "parts": key.parts}
    line = jsontext.canonical({**header, "created": created, "value": value, "files": [vars(row) for row in rows]})
    size = file.write(hashlib.sha256(line).hexdigest().encode() + b"\n" + line)
    for row in rows:
        given = files[row.name]
        written = 0
        for chunk in [given] if isinstance(given, bytes) else _chunks(given):
            written += file.write(chunk)
        if written != row.bytes:
            raise OSError(0, f"{row.name} changed while it was being kept")
        size += written
    return size


def read_header(file: IO[bytes]) -> Header:
    """Reads both lines from the beginning of ``file``.

    Raises:
        BrokenEntryError: they are not what was written.
    """
    file.seek(0)
    seal, line = file.read(_SEAL_BYTES), file.readline(_MOST_HEADER_BYTES)
    if seal != hashlib.sha256(line).hexdigest().encode() + b"\n":
        raise BrokenEntryError("its header is not what was written")
    # What the digest covers was written by this program; another version's is told by its schema.
    found = cast("Mapping[str, object]", json.loads(line))
    if found.get("schema") != SCHEMA:
        raise BrokenEntryError(f"its schema is {found.get('schema')!r:.80}, not '{SCHEMA}'")
    key = Key(str(found["kind"]), cast("Parts", found["parts"]))
    if key.digest != found["key"]:
        raise BrokenEntryError("its key is not that of its parts")
    rows = tuple(
        Packed(str(row["name"]), cast("int", row["bytes"]), str(row["sha256"]))
        for row in cast("list[Mapping[str, object]]", found["files"])
    )
    return Header(key, str(found["created"]), found["value"], rows, len(seal) + len(line))


def check_whole(file: IO[bytes]) -> Header:
    """Reads all of an entry.

    Raises:
        BrokenEntryError: anything of it is not what was written.
    """
    header = read_header(file)
    size = os.fstat(file.fileno()).st_size
    if size != header.size:
        raise BrokenEntryError(f"it has {size} bytes, {header.size} were written")
    for row in header.files:
        hasher = hashlib.sha256()
        for chunk in _pieces(file, row.bytes):
            hasher.update(chunk)
        if hasher.hexdigest() != row.sha256:
            raise BrokenEntryError(f"its file '{row.name}' is not what was written")
    return header


def unpack(file: IO[bytes], header: Header, name: str) -> Iterator[bytes]:
    """The bytes of one file of an entry that was checked, in pieces.

    Raises:
        KeyError: it has no such file.
    """
    offset = header.length
    for row in header.files:
        if row.name == name:
            file.seek(offset)
            yield from _pieces(file, row.bytes)
            return
        offset += row.bytes
    raise KeyError(name)


def unpack_all(file: IO[bytes], header: Header) -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name and bytes of every file of an entry that was checked; each must be read before the next is asked for."""
    file.seek(header.length)
    for row in header.files:
        yield row.name, _pieces(file, row.bytes)


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := file.read(min(size, _CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk


def _row(name: str, given: Path | bytes) -> Packed:
    hasher, size = hashlib.sha256(), 0
    for chunk in [given] if isinstance(given, bytes) else _chunks(given):
        hasher.update(chunk)
        size += len(chunk)
    return Packed(name, size, hasher.hexdigest())


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
