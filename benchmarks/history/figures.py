"""The figures a history shows: each reads its value and its interval out of a record's JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from edgewright.core.errors import UsageError

Reading = tuple[float, float | None, float | None]
"""Value, low and high; no interval where the record has none."""
Unit = Literal["ns", "bytes", "number"]


@dataclass(frozen=True)
class Figure:
    """One figure by its name."""

    name: str
    unit: Unit
    read: Callable[[Mapping[str, object]], Reading | None]
    """Of a record without raw samples (:mod:`edgewright.benchmarks.history.entry`); None where it was not measured."""
    higher_is_better: bool = False
    """Accuracy says it in each record."""
    exact: bool = False
    """Without noise: every change is one."""
    of_inputs: bool = True
    """Whether it depends on what the engine was fed with."""


def figure_named(name: str) -> Figure:
    """The figure called ``name``.

    Raises:
        UsageError: when there is none, with those there are.
    """
    if name not in FIGURES:
        raise UsageError(f"a history has no metric '{name}'", f"It has {', '.join(FIGURES)}.")
    return FIGURES[name]


def at(record: object, *path: str) -> object:
    """What stands at ``path`` in JSON objects; None where the path ends early."""
    for name in path:
        if not isinstance(record, Mapping):
            return None
        record = record.get(name)
    return record


def number(value: object) -> float | None:
    """A finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def _plain(*path: str) -> Callable[[Mapping[str, object]], Reading | None]:
    def read(record: Mapping[str, object]) -> Reading | None:
        value = number(at(record, *path))
        return None if value is None else (value, None, None)

    return read


def _with_interval(*path: str) -> Callable[[Mapping[str, object]], Reading | None]:
    def read(record: Mapping[str, object]) -> Reading | None:
        value = number(at(record, *path, "value"))
        if value is None:
            return None
        return value, *_ends(at(record, *path, "ci95"))

    return read


def _throughput(record: Mapping[str, object]) -> Reading | None:
    value = number(at(record, "summary", "throughput"))
    return None if value is None else (value, *_ends(at(record, "summary", "throughput_ci95")))


def _ends(found: object) -> tuple[float, float] | tuple[None, None]:
    low, high = (number(one) for one in found) if isinstance(found, list) and len(found) == 2 else (None, None)
    return (None, None) if low is None or high is None else (low, high)


def _of_runs(summary: str, run: str) -> Callable[[Mapping[str, object]], Reading | None]:
    """A median over runs, with the order-statistic interval of that median: six runs at least have one."""

    def read(record: Mapping[str, object]) -> Reading | None:
        from edgewright.benchmarks.statistics import interval_95

        value = number(at(record, "summary", summary))
        if value is None:
            return None
        runs = at(record, "runs")
        found = [number(at(one, run)) for one in runs] if isinstance(runs, list) else []
        series = [one for one in found if one is not None]
        ends = interval_95(series, 0.5) if series else None
        return (value, None, None) if ends is None else (value, *ends)

    return read


FIGURES: Mapping[str, Figure] = MappingProxyType(
    {
        one.name: one
        for one in (
            Figure("p50", "ns", _with_interval("summary", "percentiles", "p50")),
            Figure("p90", "ns", _with_interval("summary", "percentiles", "p90")),
            Figure("p99", "ns", _with_interval("summary", "percentiles", "p99")),
            Figure("run_median", "ns", _of_runs("run_median", "median_ns")),
            Figure("throughput", "number", _throughput, higher_is_better=True),
            Figure("first", "ns", _of_runs("first_ns", "first_ns")),
            Figure("load", "ns", _of_runs("load_ns", "load_ns"), of_inputs=False),
            Figure("memory", "bytes", _plain("memory", "hundredth_bytes")),
            Figure("size", "bytes", _plain("subject", "size_bytes"), exact=True, of_inputs=False),
            Figure("accuracy", "number", _with_interval("accuracy"), higher_is_better=True, of_inputs=False),
            Figure("energy", "number", _plain("energy", "joules")),
        )
    }
)
"""Name -> figure. Times are nanoseconds, throughput is samples per second, energy joules per sample."""
