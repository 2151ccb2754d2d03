"""Finds what a report is made from: bundles, and the files of records beside them or given by themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgewright.benchmarks import record as records
from edgewright.benchmarks import trace
from edgewright.benchmarks.report.data import GateTold
from edgewright.benchmarks.report.gates import RANK, read_gate
from edgewright.core import jsontext
from edgewright.core.bundle import Bundle, open_bundle
from edgewright.core.errors import BadInputError, EdgewrightError, UsageError

_RECORD_SUFFIX = ".record.json"


@dataclass(frozen=True)
class Sources:
    """Everything that was found, each thing once."""

    bundles: tuple[Bundle, ...]
    """One for each digest, in the order of the digests."""
    records: tuple[Mapping[str, object], ...]
    """In the order of their times, oldest first."""
    traces: tuple[Mapping[str, object], ...]
    notes: tuple[str, ...]
    """What was found and left out, with the reason."""
    gates: tuple[GateTold, ...] = ()
    """What gates said, the worst first."""
    read: tuple[Path, ...] = ()
    """Every file and unzipped bundle that was read, resolved, in the order of the names."""


@dataclass(frozen=True)
class _Document:
    """A file of records; one that was only found beside a bundle speaks of the bundles that were given alone."""

    name: str
    content: Mapping[str, object]
    given: bool


def read_sources(paths: Sequence[Path]) -> Sources:
    """Reads bundles, files of records, what gates said, and folders; a bundle brings the file of records beside it.

    Raises:
        UsageError: nothing is there, or a folder holds neither.
        BadInputError: naming every file that is broken, not only the first.
    """
    problems: list[EdgewrightError] = []
    bundle_paths: dict[Path, None] = {}
    given: dict[Path, bool] = {}
    for path in paths:
        try:
            for found in _members(path):
                if found.name.endswith(".json") and not found.is_dir():
                    given[found.resolve()] = True
                else:
                    bundle_paths[found] = None
        except EdgewrightError as error:
            problems.append(error)
    bundles: dict[str, Bundle] = {}
    for path in bundle_paths:
        if records.record_path(path).exists():
            given.setdefault(records.record_path(path), False)
        try:
            bundle = open_bundle(path)
            bundle.journal  # noqa: B018 - read here, where a broken one can still be named with the others
            bundles.setdefault(bundle.digest, bundle)
        except EdgewrightError as error:
            problems.append(error)
    gates = {path: told for path, named in given.items() if named and (told := read_gate(path)) is not None}
    documents = _documents({path: named for path, named in given.items() if path not in gates}, problems)
    _raise(problems)
    notes: list[str] = []
    return Sources(
        tuple(bundles[digest] for digest in sorted(bundles)),
        _known(documents, "records", records.SCHEMA, bundles, notes),
        _known(documents, "traces", trace.SCHEMA, bundles, notes),
        tuple(notes),
        tuple(sorted(set(gates.values()), key=lambda told: (RANK[told.verdict], repr(told)))),
        tuple(sorted({*given, *(path.resolve() for path in bundle_paths)})),
    )


def _members(path: Path) -> list[Path]:
    """``path`` itself, or the bundles directly in a folder that is no bundle, and the records without one there."""
    if not path.exists():
        raise UsageError(f"there is no {path}", "Give bundles, files of records, or folders of them.")
    if not path.is_dir() or _is_bundle(path):
        return [path]
    inside = sorted(path.iterdir())
    found = [one for one in inside if one.suffix == ".ewb" or (one.is_dir() and _is_bundle(one))]
    beside = {records.record_path(one).name for one in found}
    found += [one for one in inside if one.name.endswith(_RECORD_SUFFIX) and one.name not in beside]
    if not found:
        raise UsageError(
            f"{path} holds neither bundles nor records",
            "Compile into it, or name the folders below it one by one; folders are not searched in depth.",
        )
    return found


def _is_bundle(folder: Path) -> bool:
    return (folder / "manifest.json").exists()


def _documents(given: Mapping[Path, bool], problems: list[EdgewrightError]) -> list[_Document]:
    found: list[_Document] = []
    for path, named in given.items():
        try:
            found.append(_Document(path.name, records.read_document(path), named))
        except EdgewrightError as error:
            problems.append(error)
    return found


def _known(
    documents: Sequence[_Document], key: str, schema: str, bundles: Mapping[str, Bundle], notes: list[str]
) -> tuple[Mapping[str, object], ...]:
    """The entries of a schema that is known here, each once, by time and then by content."""
    found: dict[str, Mapping[str, object]] = {}
    for document in documents:
        strange = others = 0
        for entry in cast("Sequence[Mapping[str, object]]", document.content.get(key, ())):
            told = entry.get("schema")
            if told != schema and not str(told).startswith(f"{schema}."):
                strange += 1
            elif not document.given and _subject(entry) not in bundles:
                others += 1
            else:
                found[_digest(entry)] = entry
        if strange:
            notes.append(f"{document.name}: {strange} of its {key} are not of the schema '{schema}' and are left out")
        if others:
            notes.append(
                f"{document.name}: {others} of its {key} are of other builds than the one beside it and are left out; "
                "name the file itself to see them"
            )
    order = sorted(found, key=lambda digest: (str(found[digest].get("created") or ""), digest))
    return tuple(found[digest] for digest in order)


def _subject(entry: Mapping[str, object]) -> str:
    """The digest of the bundle that a record or a trace is about."""
    subject = entry.get("subject")
    return str(subject.get("bundle_sha256") if isinstance(subject, dict) else entry.get("bundle_sha256"))


def _digest(entry: Mapping[str, object]) -> str:
    try:
        return jsontext.digest(entry)
    except ValueError:  # NaN, which a careful writer does not write; the reader of fields will not take it
        return hashlib.sha256(repr(entry).encode("utf-8", "backslashreplace")).hexdigest()


def _raise(problems: Sequence[EdgewrightError]) -> None:
    if not problems:
        return
    if len(problems) == 1:
        raise problems[0]
    text = "; ".join(error.problem for error in problems)
    if all(isinstance(error, UsageError) for error in problems):
        raise UsageError(text, problems[0].remedy)
    raise BadInputError(text, "Leave these out, or make them again.")
