"""What a run's child answered as the record has it, and what from outside voids it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import cast

from edgewright.benchmarks.harness.machine import Pressure
from edgewright.benchmarks.harness.nvml import Clocks, reading_of
from edgewright.benchmarks.harness.protocol import DRIFT_LIMIT, STOLEN_LIMIT
from edgewright.benchmarks.harness.scenarios import is_overloaded
from edgewright.benchmarks.record import Memory, Run
from edgewright.benchmarks.statistics import drift

Answer = dict[str, object]
"""JSON, as :func:`edgewright.benchmarks.harness._run_child.run_here` gives it."""


def run_of(answer: Answer, arm: str, order: int, stolen: float, rate_per_s: float | None, *, disturbed: bool) -> Run:
    """The run of the record, with its flags."""
    medians = tuple(cast("list[float]", answer["window_medians"]))
    unserved = cast("int", answer.get("unserved", 0))
    flags = {"disturbed": disturbed, "drift": abs(drift(medians)) > DRIFT_LIMIT}
    ns = _integers(answer["ns"]) or ()
    if rate_per_s is not None:
        flags["overloaded"] = is_overloaded(rate_per_s, cast("int", answer["busy_ns"]), len(ns), unserved)
    return Run(
        arm=arm,
        order=order,
        ns=ns,
        window_medians=medians,
        import_ns=cast("int", answer["import_ns"]),
        load_ns=cast("int", answer["load_ns"]),
        first_ns=cast("int", answer["first_ns"]),
        stolen=round(stolen, 6),
        audited=cast("int", answer["audited"]),
        audit_error=cast("float | None", answer["audit_error"]),
        flags=tuple(name for name, up in flags.items() if up),
        device_ns=_integers(answer["device_ns"]),
        clocks=clocks_of(answer) or None,
        service_ns=_integers(answer.get("service_ns")),
        span_ns=cast("int | None", answer.get("span_ns")),
        unserved=unserved,
    )


def memory_of(answers: Sequence[Answer]) -> Memory:
    """The median of each figure over processes."""
    names = ("import_bytes", "load_bytes", "first_bytes", "hundredth_bytes")
    figures = [[cast("int | None", answer[name]) for answer in answers] for name in names]
    imported, loaded, first, hundredth = (_middle(found) for found in figures)
    return Memory(imported, loaded, first, hundredth, len(answers))


def clocks_of(answer: Answer) -> tuple[Clocks, ...]:
    """The readings of the GPU's clocks."""
    return tuple(reading_of(row) for row in cast("list[dict[str, object]]", answer["clocks"]))


def void_reason(before: Pressure, after: Pressure) -> str | None:
    """What the system's counters say against what ran between these moments; None where they say nothing."""
    stolen = after.stolen_since(before)
    if stolen > STOLEN_LIMIT:
        return f"the hypervisor took {stolen:.1%} of the processor time"
    if after.throttled > before.throttled:
        return "the processor throttled itself"
    return None


def _middle(figures: Sequence[int | None]) -> int | None:
    known = [one for one in figures if one is not None]
    return round(statistics.median(known)) if known else None


def _integers(values: object) -> tuple[int, ...] | None:
    return None if values is None else tuple(cast("list[int]", values))
