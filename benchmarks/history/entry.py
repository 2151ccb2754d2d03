"""What a history keeps of one record: schema ``edgewright.history/1``.

::

    {"schema": "edgewright.history/1", "digest": SHA-256 of the whole record, "commit": text, "branch": text or null,
     "created": "2026-01-31T12:00:00Z", "name": the bundle's file, "record": the record without its raw samples}

In ``record``, each of ``runs`` has ``median_ns`` (nanoseconds per inference) in place of ``ns``, ``window_medians``,
``device_ns``, ``service_ns`` and ``clocks``; the runs of a paired session's baseline are left out, and so is ``side``.
``digest`` leads back to the record in its own file. There is no host, user or path; ``name`` is the file's alone, and
empty where nobody gave one, as in older entries.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import NoReturn, cast

from edgewright.benchmarks.history.figures import at, number
from edgewright.benchmarks.record import SCHEMA as RECORD_SCHEMA
from edgewright.core import jsontext
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.foreign_text import shortened, spelt_out

SCHEMA = "edgewright.history/1"
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_RAW = ("ns", "window_medians", "device_ns", "service_ns", "clocks")
_LONGEST_WORD = 200
_TEXTS = (
    *(("subject", "model"), ("subject", "precision"), ("subject", "bundle_sha256"), ("target", "name")),
    *(("machine", "identity"), ("protocol", "scenario"), ("status",)),
)


@dataclass(frozen=True, order=True)
class Key:
    """What the points of one line have in common, beside the machine."""

    model: str
    target: str
    precision: str
    threads: int
    scenario: str
    batch: int = 1
    rate: str = ""
    """Samples that arrive in a second, as text; empty in a scenario without arrivals."""
    name: str = ""
    """The bundle's file, without its suffix: many models are called ``model``. Empty where it is not known."""

    def __str__(self) -> str:
        whose = f"{self.name}::{self.model}" if self.name not in ("", self.model) else self.model
        ending = "" if self.scenario == "single-stream" else f" {self.scenario}"
        ending += "" if self.batch == 1 else f" batch {self.batch}"
        ending += f" {self.rate}/s" if self.rate else ""
        return f"{whose}[{self.target}-{self.precision}] {self.threads} thread{'s'[: self.threads != 1]}{ending}"


@dataclass(frozen=True)
class Entry:
    """One record in a history."""

    digest: str
    commit: str
    branch: str | None
    created: str
    """UTC; when it was measured."""
    record: Mapping[str, object]
    """Without raw samples."""
    name: str = ""
    """Of the bundle's file, without its suffix; empty where it is not known."""

    @property
    def key(self) -> Key:
        """Which line it belongs to."""
        threads, batch, rate = (
            number(at(self.record, *path))
            for path in (("target", "threads"), ("protocol", "batch"), ("protocol", "rate_per_s"))
        )
        return Key(
            model=str(at(self.record, "subject", "model")),
            target=str(at(self.record, "target", "name")),
            precision=str(at(self.record, "subject", "precision")),
            threads=int(threads or 0),
            scenario=str(at(self.record, "protocol", "scenario")),
            batch=int(batch or 1),
            rate="" if rate is None else f"{rate:g}",
            name=self.name,
        )

    @property
    def machine(self) -> str:
        """The machine's identity."""
        return str(at(self.record, "machine", "identity"))

    @property
    def cpu(self) -> str:
        """The machine's processor, as the record names it; empty where it does not."""
        name = at(self.record, "machine", "cpu")
        return name if isinstance(name, str) else ""

    def to_json(self) -> bytes:
        """The canonical JSON document."""
        return jsontext.canonical({"schema": SCHEMA, **asdict(self)})


def entry_of(record: Mapping[str, object], commit: str, branch: str | None, name: str = "") -> Entry:
    """What is to be kept of a record's JSON object; ``name`` is made harmless and short.

    Raises:
        UsageError: as :func:`require_name`.
        BadInputError: ``record`` is not one of a major version that is known here.
    """
    require_name("commit", commit)
    if branch is not None:
        require_name("branch", branch)
    try:
        digest = jsontext.digest(record)
        whole = cast("Mapping[str, object]", json.loads(jsontext.canonical(record)))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadInputError(f"a record is not JSON: {error!s:.200}", "Measure again.") from error
    _require_record(whole, "a record")
    created = whole.get("created") or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kept = _without_samples(whole)
    return _checked(
        Entry(digest, commit, branch, cast("str", created), kept, shortened(spelt_out(name), _LONGEST_WORD)), "a record"
    )


def require_name(what: str, word: str) -> None:
    """Lets through what may name a commit or a branch.

    Raises:
        UsageError: when it is empty, longer than 200 characters or not printable.
    """
    if not (word.isprintable() and 0 < len(word.strip()) <= _LONGEST_WORD):
        raise UsageError(f"{word!r:.80} names no {what}", f"Give up to {_LONGEST_WORD} printable characters.")


def entry_from_json(data: bytes | str, where: str) -> Entry:
    """The entry in a JSON document.

    Args:
        data: the document.
        where: what messages call it.

    Raises:
        BadInputError: when it is damaged, or of a major version that is not known here.
    """
    try:
        found = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"is not JSON: {error!s:.200}") from error
    schema = at(found, "schema")
    if schema != SCHEMA and not str(schema).startswith(f"{SCHEMA}."):
        raise _damaged(where, f"has the schema {schema!r:.80}, not '{SCHEMA}'")
    record, branch, name = at(found, "record"), at(found, "branch"), at(found, "name")
    texts = [at(found, key) for key in ("digest", "commit", "created")]
    if not isinstance(record, Mapping) or not all(isinstance(text, str) for text in texts):
        raise _damaged(where, "lacks its record, digest, commit or time")
    if branch is not None and not isinstance(branch, str):
        raise _damaged(where, f"has the branch {branch!r:.80}")
    _require_record(record, where)
    digest, commit, created = cast("list[str]", texts)
    called = name if isinstance(name, str) else ""
    return _checked(Entry(digest, commit, branch, created, record, called), where)


def _without_samples(record: Mapping[str, object]) -> Mapping[str, object]:
    inner = number(at(record, "protocol", "inner")) or 1.0
    baseline = at(record, "comparison", "baseline_arm")
    kept = []
    for run in cast("list[object]", record["runs"]):
        samples = at(run, "ns")
        if not isinstance(run, Mapping) or (baseline is not None and run.get("arm") == baseline):
            continue
        series = [one for one in map(number, samples) if one is not None] if isinstance(samples, list) else []
        median = {"median_ns": statistics.median(series) / inner} if series else {}
        kept.append({**{name: value for name, value in run.items() if name not in _RAW}, **median})
    return {**{name: value for name, value in record.items() if name != "side"}, "runs": kept}


def _require_record(record: Mapping[str, object], where: str) -> None:
    schema = record.get("schema")
    if schema != RECORD_SCHEMA and not str(schema).startswith(f"{RECORD_SCHEMA}."):
        raise _damaged(where, f"has the schema {schema!r:.80}, not '{RECORD_SCHEMA}'")
    lacking = [".".join(path) for path in _TEXTS if not isinstance(at(record, *path), str)]
    lacking += [] if number(at(record, "target", "threads")) is not None else ["target.threads"]
    lacking += [] if isinstance(record.get("runs"), list) else ["runs"]
    lacking += [] if isinstance(record.get("summary"), Mapping) else ["summary"]
    if lacking:
        raise _damaged(where, f"lacks {', '.join(lacking)}")


def _checked(entry: Entry, where: str) -> Entry:
    if not isinstance(entry.created, str) or not _CREATED.fullmatch(entry.created):
        raise _damaged(where, f"was made at {entry.created!r:.80}, which is not a time in UTC")
    if not _DIGEST.fullmatch(entry.digest):
        raise _damaged(where, f"has the digest {entry.digest!r:.80}")
    return entry


def _damaged(where: str, how: str) -> BadInputError:
    return BadInputError(f"{where} {how}", "Take it out of the history, or measure again.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
