"""Opens a bundle, zipped or unzipped, and believes nothing in it before the digests agree."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO

from edgewright.core import jsontext
from edgewright.core.bundle.archive import (
    MAX_DEPTH,
    MAX_MEMBERS,
    REMEDY,
    check_names,
    chunks_of,
    open_archive,
    require_as_written,
)
from edgewright.core.bundle.golden import Golden, read_samples
from edgewright.core.bundle.manifest import FileRecord, Manifest
from edgewright.core.bundle.signature import check_signatures, required_keys, signature_path
from edgewright.core.errors import BadInputError, IOFailureError
from edgewright.core.files import open_regular

MAX_MANIFEST_BYTES = 16 << 20
MAX_JOURNAL_BYTES = 256 << 20
_GOLDEN = ("golden/inputs.npz", "golden/original.npz", "golden/engine.npz")


class _Members(ABC):
    """The members of a bundle by name and size, whichever way they are kept."""

    @abstractmethod
    def sizes(self) -> Mapping[str, int]: ...

    @abstractmethod
    def open(self, name: str) -> AbstractContextManager[IO[bytes]]: ...


class _Zipped(_Members):
    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> Mapping[str, int]:
        with open_regular(self.path, "bundle") as file, open_archive(file, str(self.path)) as archive:
            require_as_written(file, archive, str(self.path))
            return {entry.filename: entry.file_size for entry in archive.infolist()}

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with (
            open_regular(self.path, "bundle") as file,
            open_archive(file, str(self.path)) as archive,
            archive.open(name) as member,
        ):
            yield member


class _Unzipped(_Members):
    def __init__(self, path: Path) -> None:
        self.path = path

    def sizes(self) -> Mapping[str, int]:
        if not os.path.lexists(self.path / "manifest.json"):
            raise BadInputError(f"{self.path} has no manifest.json, so it is not an unzipped bundle", "Check the path.")
        found: dict[str, int] = {}
        for folder, subfolders, files in os.walk(self.path, followlinks=False, onerror=_cannot_list):
            if len(Path(folder).parts) - len(self.path.parts) > MAX_DEPTH:
                raise BadInputError(f"{self.path} has folders deeper than {MAX_DEPTH}", "Give a bundle's own folder.")
            for name in [*files, *subfolders]:
                path = Path(folder, name)
                member = path.relative_to(self.path).as_posix()
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found[member] = status.st_size
                elif not stat.S_ISDIR(status.st_mode):
                    raise BadInputError(f"{self.path}: member '{member:.200}' is not a regular file", REMEDY)
            if len(found) > MAX_MEMBERS:
                raise BadInputError(f"{self.path} has more than {MAX_MEMBERS} files", "Give a bundle's own folder.")
        check_names(found, str(self.path))
        return found

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        with open_regular(self.path / name, "bundle member") as file:
            yield file


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose members all had the digests of its manifest when it was opened; each read checks again."""

    path: Path
    digest: str
    """SHA-256 of the canonical manifest, the same zipped or unzipped."""
    manifest: Manifest
    members: _Members
    signed_by: tuple[str, ...] = ()
    """Ids of the keys whose signature was demanded when it was opened, and was good."""

    @cached_property
    def journal(self) -> Mapping[str, object]:
        """The parsed ``journal.json``.

        Raises:
            BadInputError: when it is not a JSON object.
        """
        return _json_object(self._bytes("journal.json"), f"{self.path}: journal.json")

    @property
    def engine_files(self) -> tuple[str, ...]:
        """Names of the engine's files, relative to ``engine/``."""
        names = (item.path for item in self.manifest.files)
        return tuple(name.removeprefix("engine/") for name in names if name.startswith("engine/"))

    def golden(self) -> Golden:
        """The golden samples, as arrays of the manifest's names and types.

        Raises:
            BadInputError: arrays that are missing, broken or unlike the manifest's specs.
        """
        found = {name: io.BytesIO(self._bytes(name)) for name in _GOLDEN}
        specs = (self.manifest.inputs, self.manifest.outputs, self.manifest.outputs)
        lists = [
            read_samples(found[name], spec, f"{self.path}: {name}") for name, spec in zip(_GOLDEN, specs, strict=True)
        ]
        try:
            return Golden(*lists)
        except ValueError as error:
            raise BadInputError(f"{self.path}: {error}", REMEDY) from error

    def extract_engine(self, into: Path) -> Path:
        """Copies the engine's files into a folder that has none of them, and gives the path of the entry.

        Raises:
            BadInputError: a member that no longer has its digest; nothing of it can be opened then.
            IOFailureError: when the folder cannot be written.
        """
        for record in self.manifest.files:
            if not record.path.startswith("engine/"):
                continue
            target = into / record.path.removeprefix("engine/")
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("xb") as file:
                    for chunk in self._checked(record):
                        file.write(chunk)
            except OSError as error:
                raise IOFailureError(f"cannot extract to {target}: {error.strerror}", "Free some space.") from error
        return into / self.manifest.backend.entry

    def check(self) -> None:
        """Reads every member and compares its digest.

        Raises:
            BadInputError: naming the first member that differs.
        """
        for record in self.manifest.files:
            for _ in self._checked(record):
                pass

    def _bytes(self, name: str) -> bytes:
        record = next(item for item in self.manifest.files if item.path == name)
        return b"".join(self._checked(record))

    def _checked(self, record: FileRecord) -> Iterator[bytes]:
        hasher = hashlib.sha256()
        with self.members.open(record.path) as member:
            for chunk in chunks_of(member):
                hasher.update(chunk)
                yield chunk
        if hasher.hexdigest() != record.sha256:
            raise BadInputError(f"{self.path}: member '{record.path}' is not what the manifest says: edited", REMEDY)


def open_bundle(
    path: Path, key: Path | None = None, *, signature: Path | None = None, made_here: bool = False
) -> Bundle:
    """Opens a bundle's file or its unzipped folder after checking every member's name, size, CRC and digest.

    Nothing but the manifest's JSON is parsed here, and that only when the container is sound and, with a key, the
    signature fits the manifest's bytes.

    Args:
        path: the file or folder.
        key: a public key that must have signed it; besides the one that EDGEWRIGHT_REQUIRE_KEY names.
        signature: the file of its signatures; None for the one beside it.
        made_here: it was written by this very command, or is about to be signed: EDGEWRIGHT_REQUIRE_KEY is not for it.

    Raises:
        UsageError: when there is nothing at ``path`` or ``key``.
        BadInputError: naming the file, the member and the rule it breaks; a signature that is missing or does not fit.
        UnavailableError: a signature is to be checked and ``cryptography`` is not installed.
    """
    keys = required_keys(key, everywhere=not made_here)
    members: _Members = _Unzipped(path) if path.is_dir() else _Zipped(path)
    sizes = members.sizes()
    for name, limit in (("manifest.json", MAX_MANIFEST_BYTES), ("journal.json", MAX_JOURNAL_BYTES)):
        if name not in sizes:
            raise BadInputError(f"{path} has no {name}, so it is not a bundle", "Give a file that 'compile' wrote.")
        if sizes[name] > limit:
            raise BadInputError(f"{path}: {name} has {sizes[name]} bytes, more than {limit}", REMEDY)
    with members.open("manifest.json") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    signed_by = check_signatures(data, keys, signature or signature_path(path), path) if keys else ()
    source = f"{path}: manifest.json"
    content = _json_object(data, source)
    manifest = Manifest.from_json(content, source)
    if jsontext.canonical(content) != data:
        raise BadInputError(f"{source} is not in canonical form: it was edited or reformatted", REMEDY)
    _compare(sizes, manifest, path)
    bundle = Bundle(path, hashlib.sha256(data).hexdigest(), manifest, members, signed_by)
    bundle.check()
    return bundle


def _compare(sizes: Mapping[str, int], manifest: Manifest, path: Path) -> None:
    """Members and the manifest's list of them must be the same, with the same sizes."""
    check_names((record.path for record in manifest.files), f"{path}: manifest.json")
    listed = {record.path: record.bytes for record in manifest.files}
    listed_and_manifest = {*listed, "manifest.json"}
    needed = {"journal.json", *_GOLDEN, f"engine/{manifest.backend.entry}"}
    if missing := sorted((listed_and_manifest | needed) - set(sizes)):
        raise BadInputError(f"{path}: member '{missing[0]}' is missing", REMEDY)
    if extra := sorted(set(sizes) - listed_and_manifest):
        raise BadInputError(f"{path}: member '{extra[0]}' is not in the manifest", REMEDY)
    for name, size in listed.items():
        if sizes[name] != size:
            raise BadInputError(f"{path}: member '{name}' has {sizes[name]} bytes, the manifest says {size}", REMEDY)


def _json_object(data: bytes, source: str) -> Mapping[str, object]:
    try:
        content = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
        jsontext.canonical(content)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{source} is not valid JSON: {error!s:.200}", REMEDY) from error
    if not isinstance(content, dict):
        raise BadInputError(f"{source} is not a JSON object", REMEDY)
    return content


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _cannot_list(error: OSError) -> None:
    raise BadInputError(f"cannot read folder {error.filename}: {error.strerror}", "Give a folder you may read.")
