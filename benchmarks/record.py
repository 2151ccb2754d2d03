"""What one measurement leaves behind: schema ``edgewright.bench/1``, raw samples and what identifies the machine.

Records stand beside their bundle and never inside it: ``NAME.ewb`` (or the unzipped folder ``NAME``) has
``NAME.record.json``, one JSON document::

    {"schema": "edgewright.records/1", "records": [record, ...]}          oldest first, appended by every ``bench``

``compile --trace`` adds a list ``traces`` to it (:mod:`edgewright.benchmarks.trace`).

A record names its bundle by digest, so a file of records may be moved, merged or cut by hand. Times are nanoseconds,
sizes bytes, shares fractions of 1. The schema grows by optional keys within its major number; a reader ignores the keys
it does not know. There is no NaN, and no host, user or path.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Literal, cast

from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.harness.nvml import Clocks
from edgewright.benchmarks.harness.timing_lock import machine_lock
from edgewright.benchmarks.readings import NO_ENERGY, Energy, SideReading
from edgewright.benchmarks.statistics import Outliers, Percentile
from edgewright.core import jsontext
from edgewright.core.errors import BadInputError, IOFailureError
from edgewright.core.files import write_atomically

SCHEMA = "edgewright.bench/1"
FILE_SCHEMA = "edgewright.records/1"

SampleKind = Literal["inference", "batch_mean", "response"]
Status = Literal["ok", "unsteady", "invalid"]
Verdict = Literal["pass", "regressed", "inconclusive"]


@dataclass(frozen=True)
class Subject:
    """What was measured."""

    bundle_sha256: str
    recipe_digest: str
    plan_digest: str
    model: str
    precision: str
    size_bytes: int


@dataclass(frozen=True)
class Target:
    """What the bundle is for, the runtime that ran it, and the threads it was given."""

    name: str
    backend: str
    threads: int
    host_proxy: bool
    """True where this machine only stands in for the target."""


@dataclass(frozen=True)
class ProtocolUsed:
    """How it was measured."""

    preset: str
    scenario: str
    boundary: str
    sample_kind: SampleKind
    inner: int
    """Inferences in one sample of ``ns``; each sample is their mean times this."""
    warmup: int
    """Inferences before each run's first sample."""
    warmup_steady: bool
    seed: int
    inputs: int
    inputs_sha256: str
    inputs_from: str
    cpus_pinned: bool
    scrubbed: tuple[str, ...]
    """Names of the environment variables that were removed."""
    rate_per_s: float | None = None
    """Samples that arrive in a second; None in a scenario without arrivals."""
    batch: int = 1
    """Samples in one inference."""
    cpus: tuple[int, ...] | None = None
    """The cores the threads were bound to; None where they were not."""
    interop_threads: int = 1
    """Operators that run at the same time."""


@dataclass(frozen=True)
class Run:
    """One fresh process."""

    arm: str
    order: int
    ns: tuple[int, ...]
    window_medians: tuple[float, ...]
    import_ns: int
    load_ns: int
    first_ns: int
    stolen: float
    audited: int
    audit_error: float | None
    flags: tuple[str, ...] = ()
    device_ns: tuple[int, ...] | None = None
    """The device's own time of the last inference of each sample of ``ns``; None without such a clock."""
    clocks: tuple[Clocks, ...] | None = None
    """The GPU's, when timing began, about once a second, and when it ended; None where they are not read."""
    service_ns: tuple[int, ...] | None = None
    """Where samples arrive by a schedule: the engine's own time of each, of which ``ns`` is more by what it waited."""
    span_ns: int | None = None
    """From the beginning of the schedule to the last answer; None without a schedule."""
    unserved: int = 0
    """Samples of the schedule that were left when an overloaded run was cut."""


@dataclass(frozen=True)
class VoidedRun:
    """A run that was made again, and the evidence from outside that voided it."""

    order: int
    reason: str


@dataclass(frozen=True)
class Summary:
    """Derived from ``runs`` alone; nanoseconds per inference."""

    percentiles: Mapping[str, Percentile]
    mean: float
    cv: float
    n: int
    run_median: float
    """The median of the runs' medians: the figure to compare."""
    run_cv: float
    """The variation between the runs' medians: this machine's noise."""
    throughput: float
    """Samples per second: back to back, or as they were answered where they arrive by a schedule."""
    first_ns: float
    load_ns: float
    import_ns: float
    outliers: Outliers
    autocorrelation: float
    drift_pct: float
    """The largest drift of any run, in percent of its median."""
    device_percentiles: Mapping[str, Percentile] | None = None
    """Of ``device_ns``, transfers left out; None without such a clock."""
    throughput_ci95: tuple[float, float] | None = None
    """Over the runs; None for fewer than six."""


@dataclass(frozen=True)
class Memory:
    """Peak resident bytes of a process of its own; None where the system does not say."""

    import_bytes: int | None
    load_bytes: int | None
    first_bytes: int | None
    hundredth_bytes: int | None
    processes: int = 1
    """Fresh processes of which each figure is the median."""


@dataclass(frozen=True)
class Comparison:
    """The subject against a baseline, run in interleaved pairs on this machine."""

    baseline: Subject
    baseline_arm: str
    """The ``arm`` of the baseline's runs; the subject's is the other."""
    pairs: int
    ratio: float
    """Hodges-Lehmann estimate of the subject's run median over the baseline's."""
    ci95: tuple[float, float] | None
    p: float
    """One-sided, of the hypothesis that the true ratio is at most ``1 + delta``."""
    delta: float
    verdict: Verdict
    minimum_detectable_effect: float | None
    """The slowdown that this session would have found with a probability of 90 %, as a share."""
    baseline_summary: Summary | None = None


@dataclass(frozen=True)
class AccuracyFound:
    """A metric over a labelled data set, run on this machine."""

    metric: str
    value: float
    ci95: tuple[float, float] | None
    n: int
    higher_is_better: bool
    dataset_sha256: str


@dataclass(frozen=True)
class Record:
    """One measurement of one bundle on one machine."""

    subject: Subject
    target: Target
    machine: Machine
    versions: Mapping[str, str]
    protocol: ProtocolUsed
    runs: tuple[Run, ...]
    voided: tuple[VoidedRun, ...]
    summary: Summary
    memory: Memory | None
    accuracy: AccuracyFound | None
    status: Status
    notes: tuple[str, ...]
    """What makes the figures shaky, and what was not measured and why."""
    energy: Energy = NO_ENERGY
    comparison: Comparison | None = None
    side: tuple[SideReading, ...] = ()
    """A 1 Hz series of clocks and temperatures, where they can be read."""
    created: str | None = None
    """UTC."""
    schema: str = SCHEMA

    def to_json(self) -> dict[str, object]:
        """The JSON object of the schema; the machine carries its ``identity``."""
        plain = cast("dict[str, object]", _plain(self))
        cast("dict[str, object]", plain["machine"])["identity"] = self.machine.identity
        return plain


def record_path(bundle: Path) -> Path:
    """Where the records of a bundle's file or unzipped folder stand.

    >>> record_path(Path("out/net.v2.ewb")).name, record_path(Path("out/net.v2")).name
    ('net.v2.record.json', 'net.v2.record.json')
    """
    whole = bundle.resolve()
    return whole.with_name(f"{whole.stem if whole.suffix == '.ewb' else whole.name}.record.json")


def append_record(path: Path, record: Record) -> None:
    """Adds ``record`` to the file of records at ``path``, which is made when absent; it stays as it was or is whole.

    Raises:
        BadInputError: there is a file of another kind; it is left alone.
        CannotWriteError, IOFailureError: as :func:`edgewright.core.files.replacing`.
    """
    # Two measurements that end together must not lose one another's record.
    append_to(path, "records", record.to_json())


def begin_document(path: Path) -> None:
    """Writes a file of no records where there is none yet.

    Raises:
        CannotWriteError, IOFailureError: as :func:`edgewright.core.files.replacing`.
    """
    if not path.exists():
        write_atomically(path, jsontext.canonical(read_document(path)))


def append_to(path: Path, key: str, entry: Mapping[str, object]) -> None:
    """Adds ``entry`` to the list ``key`` of the file of records at ``path``; as :func:`append_record`."""
    with machine_lock("records", "waiting: another edgewright is writing records"):
        found = read_document(path)
        listed = found.get(key, [])
        assert isinstance(listed, list)
        write_atomically(path, jsontext.canonical({**found, "schema": FILE_SCHEMA, key: [*listed, entry]}))


def read_records(path: Path) -> Sequence[Mapping[str, object]]:
    """The records in a file, as JSON objects, oldest first; none when there is no file.

    Raises:
        BadInputError, IOFailureError: as :func:`read_document`.
    """
    return cast("Sequence[Mapping[str, object]]", read_document(path)["records"])


def read_document(path: Path) -> Mapping[str, object]:
    """A file of records whole; an empty one when there is no file.

    Raises:
        BadInputError: when it is not a file of records of a major version that is known here.
        IOFailureError: when it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {"schema": FILE_SCHEMA, "records": []}
    except OSError as error:
        raise IOFailureError(f"cannot read {path}: {error.strerror}", "Check its permissions.") from error
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is not JSON: {error!s:.200}", "Move it away and run the command again.") from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != FILE_SCHEMA and not str(schema).startswith(f"{FILE_SCHEMA}."):
        raise BadInputError(
            f"{path} has the schema {schema!r:.80}, not '{FILE_SCHEMA}'", "Move it away and run the command again."
        )
    for key in ("records", "traces"):
        listed = document.get(key, None if key == "records" else [])
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise BadInputError(f"{path} has no list of {key}", "Move it away and run the command again.")
    return cast("Mapping[str, object]", document)


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
