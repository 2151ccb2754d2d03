"""Writes a bundle: one pass over every file, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, cast

from edgewright.core import jsontext
from edgewright.core.bundle.archive import add_member, check_names, chunks_of
from edgewright.core.bundle.golden import Golden, write_samples
from edgewright.core.bundle.manifest import SCHEMA, FileRecord, Manifest
from edgewright.core.errors import UsageError
from edgewright.core.files import replacing

_IN_MEMORY_BYTES = 32 << 20


def write_bundle(
    out: Path, manifest: Mapping[str, object], journal: Mapping[str, object], engine: Mapping[str, Path], golden: Golden
) -> str:
    """Writes ``out`` whole or not at all, and gives the bundle's digest.

    Args:
        out: the file to write; one that is there is replaced.
        manifest: as :meth:`Manifest.to_json` gives it. ``schema``, ``files``, and ``created`` where it is not set,
            are filled in here; keys the schema does not know are kept.
        journal: any JSON object.
        engine: member name under ``engine/`` -> the file with its content.
        golden: samples with every input and output of the manifest.

    Raises:
        BadInputError: a manifest that :func:`open_bundle` would refuse, or a member name that is not plain.
        ValueError: golden samples that lack a tensor, or figures that JSON does not have (NaN).
        CannotWriteError, IOFailureError: as :func:`edgewright.core.files.replacing`.
    """
    content = {**manifest, "schema": SCHEMA, "files": []}
    if content.get("created") is None:
        content["created"] = creation_time()
    typed = Manifest.from_json(content)
    names = {f"engine/{name}": path for name, path in engine.items()}
    check_names([*names, "manifest.json", "journal.json"], str(out))
    if f"engine/{typed.backend.entry}" not in names:
        raise ValueError(f"the manifest's entry '{typed.backend.entry}' is not among the engine's files")
    with replacing(out) as file, zipfile.ZipFile(file, "w") as archive:
        records = list(_write_members(archive, names, golden, typed, jsontext.canonical(journal)))
        content["files"] = [{"path": item.path, "sha256": item.sha256, "bytes": item.bytes} for item in records]
        data = jsontext.canonical(content)
        add_member(archive, "manifest.json", [data], len(data))
    return hashlib.sha256(data).hexdigest()


def creation_time() -> str | None:
    """SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/) as UTC text; None where unset.

    Raises:
        UsageError: when the variable is not a number of seconds.
    """
    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"SOURCE_DATE_EPOCH is '{text:.80}'", "Set it to whole seconds since 1970.") from error


def _write_members(
    archive: zipfile.ZipFile, engine: Mapping[str, Path], golden: Golden, manifest: Manifest, journal: bytes
) -> Iterator[FileRecord]:
    """Writes everything but the manifest; in the order of the names, which ``manifest.json`` ends."""
    for name in sorted(engine):
        with engine[name].open("rb") as file:
            yield _write_member(archive, name, file)
    answers = {"engine": golden.engine, "inputs": golden.inputs, "original": golden.original}
    for name in sorted(answers):
        specs = manifest.inputs if name == "inputs" else manifest.outputs
        with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as spool:
            write_samples(cast("IO[bytes]", spool), answers[name], specs)
            yield _write_member(archive, f"golden/{name}.npz", cast("IO[bytes]", spool))
    add_member(archive, "journal.json", [journal], len(journal))
    yield FileRecord("journal.json", hashlib.sha256(journal).hexdigest(), len(journal))


def _write_member(archive: zipfile.ZipFile, name: str, file: IO[bytes]) -> FileRecord:
    size = file.seek(0, 2)
    file.seek(0)
    hasher = hashlib.sha256()
    add_member(archive, name, _hashed(chunks_of(file), hasher.update), size)
    return FileRecord(name, hasher.hexdigest(), size)


def _hashed(chunks: Iterable[bytes], update: Callable[[bytes], None]) -> Iterator[bytes]:
    for chunk in chunks:
        update(chunk)
        yield chunk
