"""Records in pytest-benchmark's JSON, the form that its ``compare`` and many dashboards read.

A round is a run, that is a fresh process, and its time the run's median: iterations of one process would make any
comparison see changes that are not there. The table's columns are fixed, so p99 is a benchmark of its own. ``compare``
exits 0 whatever it finds; judging stays with us.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

import edgewright
from edgewright.benchmarks.record import Record
from edgewright.benchmarks.statistics import SAMPLE_FLOORS, percentile

_NS = 1e-9


def to_pytest_benchmark(records: Sequence[Record]) -> dict[str, object]:
    """The JSON document of ``--pytest-benchmark-json``; times in seconds.

    Raises:
        ValueError: when there are no records.
    """
    if not records:
        raise ValueError("no records")
    machine = records[0].machine
    return {
        "machine_info": {
            "machine": machine.identity,
            "system": machine.os,
            "cpu": {"brand_raw": machine.cpu, "count": machine.cores, "flags": list(machine.isa)},
        },
        "commit_info": {"id": "unknown", "dirty": False},
        "benchmarks": [bench for record in records for bench in _benchmarks(record)],
        "datetime": records[0].created or "1970-01-01T00:00:00Z",
        "version": f"edgewright {edgewright.__version__}",
    }


def _benchmarks(record: Record) -> list[dict[str, object]]:
    medians = [statistics.median(run.ns) / record.protocol.inner for run in record.runs]
    found = [_benchmark(record, "", medians)]
    share, floor = SAMPLE_FLOORS["p99"]
    if "p99" in record.summary.percentiles:
        # Of each run where each has samples enough for one, else one figure of all runs together.
        every = all(len(run.ns) >= floor for run in record.runs)
        tails = [percentile(np.asarray(run.ns), share) for run in record.runs] if every else []
        found.append(_benchmark(record, "::p99", tails or [record.summary.percentiles["p99"].value]))
    return found


def _benchmark(record: Record, suffix: str, times_ns: Sequence[float]) -> dict[str, object]:
    subject, target = record.subject, record.target
    param = f"{target.name}-{subject.precision}"
    name = f"{subject.model}[{param}]{suffix}"
    full = record.to_json()
    shown = ("schema", "subject", "target", "machine", "versions", "protocol", "summary", "memory", "accuracy")
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
        },
        "extra_info": {"edgewright": {key: full[key] for key in (*shown, "status", "notes")}},
        "options": {"disable_gc": True, "timer": "perf_counter_ns", "min_rounds": len(times_ns), "warmup": True},
        "stats": _stats([time * _NS for time in times_ns]),
    }


def _stats(data: Sequence[float]) -> Mapping[str, object]:
    """The columns as pytest-benchmark defines them (``pytest_benchmark/stats.py``)."""
    ordered = sorted(data)
    mean, spread = statistics.mean(data), statistics.stdev(data) if len(data) > 1 else 0.0
    q1, median, q3 = (float(np.percentile(ordered, share)) for share in (25, 50, 75))
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    beyond = sum(not low <= time <= high for time in data)
    unusual = sum(abs(time - mean) > spread for time in data)
    return {
        "min": ordered[0],
        "max": ordered[-1],
        "mean": mean,
        "stddev": spread,
        "rounds": len(data),
        "median": median,
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "iqr_outliers": beyond,
        "stddev_outliers": unusual,
        "outliers": f"{unusual};{beyond}",
        "ld15iqr": next((time for time in ordered if time >= low), ordered[0]),
        "hd15iqr": next((time for time in ordered if time > high), ordered[-1]),
        "ops": 1 / mean,
        "total": sum(data),
        "data": list(data),
        "iterations": 1,
    }
