"""What a later gate needs of a measurement, kept in a file: schema ``edgewright.baseline/1``.

One JSON document with a list ``baselines``. Each entry has the gate's ``name``, the measurement's ``record`` without
its raw samples, ``run_medians_ns``, ``memory_bytes`` and ``scores`` sample by sample. Name and machine identify an
entry, so one file serves many bundles and several machines; saving replaces the entries of the same name and machine. A
reader ignores the keys it does not know.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.harness.timing_lock import machine_lock
from edgewright.benchmarks.record import Record
from edgewright.benchmarks.summary import run_medians
from edgewright.core import jsontext
from edgewright.core.errors import BadInputError, UnavailableError
from edgewright.core.files import open_regular, write_atomically
from edgewright.core.toml import Table

SCHEMA = "edgewright.baseline/1"
_RAW = ("runs", "side", "comparison", "voided")
"""Keys of a record that are not kept: raw samples, and what is of another bundle too."""
_MOST_SHOWN = 5


@dataclass(frozen=True, eq=False)
class Scores:
    """How good answers were."""

    metric: str
    higher_is_better: bool
    value: float
    n: int
    dataset_sha256: str
    per_sample: npt.NDArray[np.float64] | None = field(default=None, repr=False)
    """Shape ``(n,)``, in the data's order; None for a metric that is no mean of such scores."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """One entry of a file of baselines."""

    name: str
    model: str
    bundle_sha256: str
    size_bytes: int
    threads: int
    inputs_sha256: str
    identity: str
    machine: str
    """The machine in words."""
    run_medians_ns: tuple[float, ...]
    memory_bytes: int | None
    scores: Scores | None
    created: str


def entry_of(name: str, record: Record, memory_bytes: int | None, scores: Scores | None, arm: str) -> dict[str, object]:
    """The JSON object that is kept of a measurement.

    Args:
        name: the gate's.
        record: the measurement.
        memory_bytes: peak, the median of several processes.
        scores: of labelled data.
        arm: whose runs are the record's subject's.
    """
    runs = [run for run in record.runs if run.arm == arm]
    kept = {key: value for key, value in record.to_json().items() if key not in _RAW}
    return {
        "name": name,
        "record": kept,
        "run_medians_ns": run_medians(runs, record.protocol.inner),
        "memory_bytes": memory_bytes,
        "scores": None if scores is None else _scores_json(scores),
    }


def save_baselines(path: Path, entries: Sequence[Mapping[str, object]]) -> None:
    """Puts ``entries`` into the file at ``path``, which is made when absent; others in it stay.

    Raises:
        BadInputError: there is a file of another kind; it is left alone.
        CannotWriteError, IOFailureError: as :func:`edgewright.core.files.replacing`.
    """
    with machine_lock("baselines", "waiting: another edgewright is writing baselines"):
        old = _entries(path) if path.exists() else []
        replaced = {_key(entry) for entry in entries}
        kept = [entry for entry in old if _key(entry) not in replaced]
        document = {"schema": SCHEMA, "baselines": sorted([*kept, *entries], key=_key)}
        write_atomically(path, jsontext.canonical(document))


def require_place(path: Path) -> None:
    """Lets through where baselines can be saved: there is nothing yet, or a file of baselines.

    Raises:
        BadInputError: there is a file of another kind.
    """
    if path.exists():
        _entries(path)


def read_baselines(path: Path) -> tuple[Baseline, ...]:
    """The entries of a file of baselines.

    Raises:
        UsageError: there is no such file.
        BadInputError: it is not a file of baselines, or an entry of it is broken; all mistakes are listed.
    """
    problems: list[str] = []
    found = tuple(
        _baseline(Table(entry, f"baselines[{index}]", problems)) for index, entry in enumerate(_entries(path))
    )
    if problems:
        shown = problems[:_MOST_SHOWN] + ["..."] * (len(problems) > _MOST_SHOWN)
        mistakes = "\n".join(f"  {problem}" for problem in shown)
        raise BadInputError(f"{path} is no sound file of baselines:\n{mistakes}", _REMEDY)
    return found


def find_baseline(baselines: Sequence[Baseline], name: str, machine: Machine, path: Path) -> Baseline:
    """The entry called ``name`` that was measured on a machine like this one.

    Raises:
        UnavailableError: there is none, saying which there are.
    """
    named = [one for one in baselines if one.name == name]
    for one in named:
        if one.identity == machine.identity:
            return one
    save = f"--save-baseline {path.name}"
    if named:
        others = "; ".join(sorted({one.machine for one in named}))
        raise UnavailableError(
            f"the baseline of {name} is of another machine ({others}), and this is {in_words(machine)}",
            f"Times and memory of two machines do not compare: save one here with {save}, or use --against BUNDLE.",
        )
    known = ", ".join(sorted({one.name for one in baselines})[:_MOST_SHOWN]) or "nothing"
    raise UnavailableError(f"{path.name} has no baseline of {name}; it has {known}", f"Save one with {save}.")


def in_words(machine: Machine) -> str:
    """A machine for a message: what differs between two that are not alike."""
    parts = [machine.cpu, f"{machine.cores} cores", machine.gpu or "", machine.driver or "", machine.identity[:8]]
    return ", ".join(part for part in parts if part)


_REMEDY = "Give a file that 'gate --save-baseline' wrote, or move it away and save a new one."


def _entries(path: Path) -> list[Mapping[str, object]]:
    with open_regular(path, "baseline") as file:
        data = file.read()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is not JSON: {error!s:.200}", _REMEDY) from error
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA and not str(schema).startswith(f"{SCHEMA}."):
        raise BadInputError(f"{path} has the schema {schema!r:.80}, not '{SCHEMA}'", _REMEDY)
    listed = document.get("baselines")
    if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
        raise BadInputError(f"{path} has no list of baselines", _REMEDY)
    return cast("list[Mapping[str, object]]", listed)


def _key(entry: Mapping[str, object]) -> tuple[str, str]:
    record = entry.get("record")
    machine = record.get("machine") if isinstance(record, Mapping) else None
    identity = machine.get("identity") if isinstance(machine, Mapping) else None
    return str(entry.get("name")), str(identity)


def _baseline(entry: Table) -> Baseline:
    record = entry.table("record", required=True)
    subject, machine = record.table("subject", required=True), record.table("machine", required=True)
    medians = entry.numbers("run_medians_ns")
    if not medians or any(one <= 0 for one in medians):
        entry.complain("run_medians_ns", "has no times, or one that is not positive")
    gpu = machine.text("gpu") if machine.has("gpu") else ""
    words = [machine.text("cpu"), f"{machine.count('cores')} cores", gpu, machine.text("identity")[:8]]
    return Baseline(
        name=entry.text("name"),
        model=subject.text("model"),
        bundle_sha256=subject.text("bundle_sha256"),
        size_bytes=subject.count("size_bytes"),
        threads=record.table("target", required=True).count("threads"),
        inputs_sha256=record.table("protocol", required=True).text("inputs_sha256"),
        identity=machine.text("identity"),
        machine=", ".join(word for word in words if word),
        run_medians_ns=medians,
        memory_bytes=entry.count("memory_bytes") if entry.has("memory_bytes") else None,
        scores=_scores(entry.table("scores")) if entry.has("scores") else None,
        created=record.text("created", "at an unknown time"),
    )


def _scores(table: Table) -> Scores:
    per_sample = table.numbers("per_sample") if table.has("per_sample") else None
    n = table.count("n")
    if per_sample is not None and len(per_sample) != n:
        table.complain("per_sample", f"has {len(per_sample)} scores, n is {n}")
    return Scores(
        metric=table.text("metric"),
        higher_is_better=table.flag("higher_is_better"),
        value=table.number("value"),
        n=n,
        dataset_sha256=table.text("dataset_sha256"),
        per_sample=None if per_sample is None else np.array(per_sample, np.float64),
    )


def _scores_json(scores: Scores) -> dict[str, object]:
    per_sample = None if scores.per_sample is None else [_shortest(float(one)) for one in scores.per_sample]
    return {**vars(scores), "per_sample": per_sample}


def _shortest(value: float) -> float | int:
    """Whole numbers without their point: most scores are 0 or 1."""
    return int(value) if math.isfinite(value) and value.is_integer() else value
