"""Reads pytest-benchmark's JSON: files that Edgewright wrote, files its pytest fixture fed, and anyone's own.

What comes back is checked whole: every time is finite and not negative, and a summary of ours is one of a schema that
is known here. Keys nobody here knows are ignored, as the format's own readers do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgewright.benchmarks.exchange.pytest_json import SUMMARY_KEY
from edgewright.benchmarks.record import SCHEMA
from edgewright.core.errors import BadInputError, IOFailureError

_REMEDY = (
    "Give a file that pytest --benchmark-json, --benchmark-save or edgewright bench --pytest-benchmark-json wrote."
)
_UNVERSIONED = ("unversioned", "unknown")


@dataclass(frozen=True)
class Benchmark:
    """One benchmark of a file; times in seconds."""

    name: str
    """Its ``fullname``: the key under which runs of two files are compared."""
    group: str | None
    params: Mapping[str, str]
    """Its parameters as text, by name."""
    rounds: int
    median: float
    mean: float
    stddev: float
    data: tuple[float, ...]
    """The time of each round; empty where the file has the statistics alone."""
    record: Mapping[str, object] | None
    """The record it stands for, without raw samples, where Edgewright measured it; see :mod:`benchmarks.record`."""


@dataclass(frozen=True)
class Exchange:
    """A whole file."""

    benchmarks: tuple[Benchmark, ...]
    created: str | None
    """When it was written, as the file says it."""
    commit: str | None
    """The commit id of the project; None where it was measured outside of a repository."""
    dirty: bool
    machine: Mapping[str, object]
    """What the file says of the machine, unread: it differs from writer to writer."""


def read_pytest_benchmark(path: Path) -> Exchange:
    """What the file at ``path`` has.

    Raises:
        BadInputError: it is not pytest-benchmark's format; the place is named.
        IOFailureError: it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IOFailureError(f"cannot read {path}: {error.strerror}", "Check the path and its permissions.") from error
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path.name} is not JSON: {error!s:.200}", _REMEDY) from error
    return from_pytest_benchmark(document, path.name)


def from_pytest_benchmark(document: object, called: str = "the document") -> Exchange:
    """What a parsed JSON document of pytest-benchmark has.

    Args:
        document: as ``json.loads`` gives it.
        called: what messages call it.

    Raises:
        BadInputError: it is not of that format; the place is named.
    """
    whole = _mapping(document, called)
    commit = _mapping(whole.get("commit_info") or {}, f"{called}: commit_info")
    listed = _list(whole.get("benchmarks"), f"{called}: benchmarks")
    found = tuple(_benchmark(one, f"{called}: benchmarks[{index}]") for index, one in enumerate(listed))
    identity = _optional_text(commit.get("id"), f"{called}: commit_info.id")
    return Exchange(
        benchmarks=found,
        created=_optional_text(whole.get("datetime"), f"{called}: datetime"),
        commit=None if identity in _UNVERSIONED else identity,
        dirty=commit.get("dirty") is True,
        machine=_mapping(whole.get("machine_info") or {}, f"{called}: machine_info"),
    )


def _benchmark(value: object, place: str) -> Benchmark:
    one = _mapping(value, place)
    stats = _mapping(one.get("stats"), f"{place}.stats")
    name = one.get("fullname", one.get("name"))
    if not isinstance(name, str) or not name:
        raise _wrong(f"{place}.fullname", name, "a text")
    raw = _list(stats.get("data") or [], f"{place}.stats.data")
    data = tuple(_time(time, f"{place}.stats.data[{index}]") for index, time in enumerate(raw))
    rounds = stats.get("rounds")
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise _wrong(f"{place}.stats.rounds", rounds, "a whole number, 1 or more")
    if data and len(data) != rounds:
        raise BadInputError(f"{place}.stats.data has {len(data)} times for {rounds} rounds", _REMEDY)
    params = _mapping(one.get("params") or {}, f"{place}.params")
    extra = _mapping(one.get("extra_info") or {}, f"{place}.extra_info")
    return Benchmark(
        name=name,
        group=_optional_text(one.get("group"), f"{place}.group"),
        params={key: param if isinstance(param, str) else _shown(param) for key, param in params.items()},
        rounds=rounds,
        median=_time(stats.get("median"), f"{place}.stats.median"),
        mean=_time(stats.get("mean"), f"{place}.stats.mean"),
        stddev=_time(stats.get("stddev"), f"{place}.stats.stddev"),
        data=data,
        record=_record(extra[SUMMARY_KEY], f"{place}.extra_info.{SUMMARY_KEY}") if SUMMARY_KEY in extra else None,
    )


def _record(value: object, place: str) -> Mapping[str, object]:
    found = _mapping(value, place)
    schema = found.get("schema")
    if schema != SCHEMA and not str(schema).startswith(f"{SCHEMA}."):
        raise _wrong(f"{place}.schema", schema, f"'{SCHEMA}'")
    parts = {key: _mapping(found.get(key), f"{place}.{key}") for key in ("subject", "target", "machine", "protocol")}
    for part, key in (("subject", "model"), ("subject", "precision"), ("target", "name"), ("machine", "identity")):
        if not isinstance(parts[part].get(key), str):
            raise _wrong(f"{place}.{part}.{key}", parts[part].get(key), "a text")
    _time(_mapping(found.get("summary"), f"{place}.summary").get("run_median"), f"{place}.summary.run_median")
    try:
        json.dumps(found, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInputError(f"{place} has a value that JSON has not: {error!s:.100}", _REMEDY) from error
    return found


def _time(value: object, place: str) -> float:
    if not isinstance(value, bool) and isinstance(value, int | float):
        try:
            seconds = float(value)
        except OverflowError:
            seconds = math.inf
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    raise _wrong(place, value, "a finite number, 0 or more")


def _optional_text(value: object, place: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise _wrong(place, value, "a text")


def _mapping(value: object, place: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise _wrong(place, value, "an object")
    return cast("Mapping[str, object]", value)


def _list(value: object, place: str) -> Sequence[object]:
    if not isinstance(value, list):
        raise _wrong(place, value, "a list")
    return value


def _wrong(place: str, value: object, wanted: str) -> BadInputError:
    return BadInputError(f"{place} is {_shown(value):.60}, not {wanted}", _REMEDY)


def _shown(value: object) -> str:
    """A value as JSON; a whole number too long to be written as its size."""
    try:
        return json.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return f"of type {type(value).__name__}"
