"""Records to put into a history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgewright.benchmarks.bench import summarise
from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.record import (
    AccuracyFound,
    Energy,
    Memory,
    ProtocolUsed,
    Record,
    Run,
    SideReading,
    Subject,
    Target,
)

MACHINE = Machine("Fast CPU", 4, ("avx2",), 10**9, None, "Linux 6", virtual=False)


def make_record(
    *, us: float = 100, day: int = 1, model: str = "net", machine: Machine = MACHINE, size: int = 1000, runs: int = 8
) -> Record:
    """A record whose run r has samples about ``us + r`` microseconds, measured on that day (of many)."""
    made = tuple(
        Run(
            "a", order, tuple(round(us * 1000) + 1000 * order + i for i in range(100)), (1.0,), 3, 2 + order, 1, 0, 1, 0
        )
        for order in range(runs)
    )
    return Record(
        subject=Subject("a" * 64, "b" * 64, "c" * 64, model, "int8", size),
        target=Target("native/onnxruntime", "onnxruntime", 2, host_proxy=False),
        machine=machine,
        versions={"onnxruntime": "1.0"},
        protocol=ProtocolUsed(
            "quick", "single-stream", "run", "inference", 1, 10, True, 0, 4, "d" * 64, "golden", False, ()
        ),
        runs=made,
        voided=(),
        summary=summarise(made, 1),
        memory=Memory(1, 2, 3, 4_000_000),
        accuracy=AccuracyFound("top1", 0.9, (0.85, 0.95), 500, True, "e" * 64),
        status="ok",
        notes=(),
        energy=Energy(0.5, ""),
        side=(SideReading(0.0, 3000.0, 50.0),),
        created=f"2026-{1 + day // 28:02}-{1 + day % 28:02}T12:00:00Z",
    )


@pytest.fixture
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def other_machine() -> Machine:
    return replace(MACHINE, cpu="Slow CPU")
