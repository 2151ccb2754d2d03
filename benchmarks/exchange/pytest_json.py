"""Records in pytest-benchmark's JSON, the form that its ``compare`` and many dashboards read.

A round is a run, that is a fresh process, and its time the run's median: iterations of one process would make any
comparison see changes that are not there. Of a session with a baseline only the subject's runs are rounds. The table's
columns are fixed, so p99 is a benchmark of its own. ``compare`` exits 0 whatever it finds; judging stays with us.
"""

from __future__ import annotations

import statistics
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

import edgewright
from edgewright.benchmarks.record import ProtocolUsed, Record, Run
from edgewright.benchmarks.statistics import SAMPLE_FLOORS, percentile
from edgewright.benchmarks.summary import run_medians

SUMMARY_KEY = "edgewright"
"""Under which a benchmark's ``extra_info`` holds :func:`summary_of`."""
_SINGLE_STREAM = "single-stream"
_DIRTY = "-dirty"
_NS = 1e-9


def to_pytest_benchmark(
    records: Sequence[Record], commit: str | None = None, names: Sequence[str] = ()
) -> dict[str, object]:
    """The JSON document of ``--pytest-benchmark-json``; times in seconds.

    Args:
        records: what was measured; every record is one benchmark, and another for p99 where it has one.
        commit: as :func:`edgewright.benchmarks.history.commit.commit_here` gives it; None where there is none.
        names: of the files of the bundles, without their suffix, one a record, or none at all. They are part of the
            benchmarks' names: models are often called alike, and then only their order would tell them apart.

    Raises:
        ValueError: when there are no records, or another number of names.
    """
    if not records:
        raise ValueError("no records")
    machine = records[0].machine
    called = names or [""] * len(records)
    found = [bench for record, name in zip(records, called, strict=True) for bench in _benchmarks(record, name)]
    _tell_apart(found)
    return {
        "machine_info": {
            "machine": machine.identity,
            "system": machine.os,
            "cpu": {"brand_raw": machine.cpu, "count": machine.cores, "flags": list(machine.isa)},
        },
        "commit_info": _commit_info(commit),
        "benchmarks": found,
        "datetime": records[0].created or "1970-01-01T00:00:00Z",
        "version": f"edgewright {edgewright.__version__}",
    }


def summary_of(record: Record) -> dict[str, object]:
    """A record as JSON without its raw samples: what a benchmark's ``extra_info`` holds."""
    full = record.to_json()
    for bulky in ("runs", "voided", "side"):
        full.pop(bulky, None)
    return full


def subject_medians(record: Record) -> list[float]:
    """The subject's run medians in order, nanoseconds per inference: what is compared."""
    return run_medians(_subject_runs(record), record.protocol.inner)


def _subject_runs(record: Record) -> list[Run]:
    """Every run but those of the baseline that a paired session also holds."""
    other = None if record.comparison is None else record.comparison.baseline_arm
    return [run for run in record.runs if run.arm != other]


def _benchmarks(record: Record, called: str) -> list[dict[str, object]]:
    found = [_benchmark(record, called, "", subject_medians(record))]
    share, floor = SAMPLE_FLOORS["p99"]
    if "p99" in record.summary.percentiles:
        # Of each run where each has samples enough for one, else one figure of all runs together.
        runs = _subject_runs(record)
        every = all(len(run.ns) >= floor for run in runs)
        tails = [percentile(np.asarray(run.ns), share) for run in runs] if every else []
        found.append(_benchmark(record, called, "::p99", tails or [record.summary.percentiles["p99"].value]))
    return found


def _benchmark(record: Record, called: str, suffix: str, times_ns: Sequence[float]) -> dict[str, object]:
    subject, target = record.subject, record.target
    param = f"{target.name}-{subject.precision}"
    whose = f"{called}::{subject.model}" if called not in ("", subject.model) else subject.model
    name = f"{whose}[{param}]{_scenario(record.protocol)}{suffix}"
    return {
        "group": subject.model,
        "name": name,
        "fullname": f"edgewright::{name}",
        "param": param,
        "params": {
            "target": target.name,
            "precision": subject.precision,
            "backend": target.backend,
            "threads": target.threads,
            "batch": record.protocol.batch,
        },
        "extra_info": {SUMMARY_KEY: summary_of(record)},
        "options": {"disable_gc": True, "timer": "perf_counter_ns", "min_rounds": len(times_ns), "warmup": True},
        "stats": stats_of([time * _NS for time in times_ns]),
    }


def _scenario(protocol: ProtocolUsed) -> str:
    """What another scenario adds to the name: its times are of something else and must never be compared with these."""
    if protocol.scenario == _SINGLE_STREAM:
        return ""
    rate = "" if protocol.rate_per_s is None else f"-{protocol.rate_per_s:g}/s"
    return f"::{protocol.scenario}{rate}{f'-{protocol.batch}' if protocol.batch > 1 else ''}"


def _tell_apart(benchmarks: Sequence[dict[str, object]]) -> None:
    """Numbers the second and later ones of a name: a reader that looks benchmarks up by name would lose all but one."""
    seen: Counter[str] = Counter()
    for one in benchmarks:
        name = str(one["name"])
        seen[name] += 1
        if seen[name] > 1:
            one["name"] = f"{name}#{seen[name]}"
            one["fullname"] = f"{one['fullname']}#{seen[name]}"


def _commit_info(commit: str | None) -> dict[str, object]:
    """Neither branch nor project, which pytest-benchmark itself writes: they hold names of people and hosts."""
    identity = "unversioned" if commit is None else commit
    return {"id": identity.removesuffix(_DIRTY), "dirty": identity.endswith(_DIRTY)}


def stats_of(data: Sequence[float]) -> Mapping[str, object]:
    """The columns of a benchmark, from the time of each round, exactly as pytest-benchmark 5 computes them."""
    ordered, rounds, total = sorted(data), len(data), sum(data)
    mean, spread = statistics.mean(data), statistics.stdev(data) if rounds > 1 else 0
    q1, q3 = _quartiles(ordered)
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    beyond = sum(time < low or time > high for time in data)
    unusual = sum(time < mean - spread or time > mean + spread for time in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": rounds,
        "median": statistics.median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": beyond,
        "stddev_outliers": unusual,
        "outliers": f"{unusual};{beyond}",
        "ld15iqr": ordered[bisect_left(ordered, low)] if rounds > 1 else ordered[0],
        "hd15iqr": ordered[bisect_right(ordered, high) - 1],
        "ops": rounds / total if total else 0,
        "total": total,
        "data": list(data),
        "iterations": 1,
    }


def _quartiles(ordered: Sequence[float]) -> tuple[float, float]:
    """The first and the third: medians of the halves, or between the two nearest samples for an odd number of them.

    These are "method 2" and "method 3" of the encyclopaedic list of ways to compute quartiles, the ones that
    pytest-benchmark chose.
    """
    rounds = len(ordered)
    if rounds == 1:
        return ordered[0], ordered[0]
    if rounds % 2 == 0:
        return statistics.median(ordered[: rounds // 2]), statistics.median(ordered[rounds // 2 :])
    n = rounds // 4
    if rounds % 4 == 1:
        return 0.25 * ordered[n - 1] + 0.75 * ordered[n], 0.75 * ordered[3 * n] + 0.25 * ordered[3 * n + 1]
    return 0.75 * ordered[n] + 0.25 * ordered[n + 1], 0.25 * ordered[3 * n + 1] + 0.75 * ordered[3 * n + 2]
