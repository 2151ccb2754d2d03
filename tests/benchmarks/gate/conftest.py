"""Records as measuring leaves them, without measuring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from edgewright.benchmarks.gate.baseline import Baseline
from edgewright.benchmarks.gate.limits import Gate, Limits
from edgewright.benchmarks.gate.opened import Opened
from edgewright.benchmarks.harness.machine import Machine
from edgewright.benchmarks.record import Comparison, ProtocolUsed, Record, Run, Subject, Target, Verdict
from edgewright.benchmarks.summary import summarise
from edgewright.core.bundle import Bundle

SUBJECT = Subject("a" * 64, "r", "p", "net", "int8", 1_000_000)


def _run(arm: str, order: int, ns: Sequence[int]) -> Run:
    return Run(arm, order, tuple(ns), (float(ns[0]),), 1, 1, 1, 0.0, 1, 0.0)


@pytest.fixture
def record_of() -> Callable[..., Record]:
    """``record_of([[ns, ...], ...], **changes)``: one list for each run of the subject."""

    def make(runs: Sequence[Sequence[int]], **changes: object) -> Record:
        made = tuple(_run("a", order, ns) for order, ns in enumerate(runs))
        record = Record(
            subject=SUBJECT,
            target=Target("native/onnxruntime", "onnxruntime", 1, host_proxy=False),
            machine=Machine("A CPU", 4, ("avx2",), 8 << 30, None, "Linux 6", virtual=False),
            versions={"edgewright": "1"},
            protocol=ProtocolUsed(
                "quick", "single-stream", "", "inference", 1, 10, True, 0, 4, "i" * 64, "golden", False, ()
            ),
            runs=made,
            voided=(),
            summary=summarise(made, 1),
            memory=None,
            accuracy=None,
            status="ok",
            notes=(),
            created="2026-01-01T00:00:00Z",
        )
        return replace(record, **changes)  # type: ignore[arg-type]

    return make


@pytest.fixture
def compared_record(record_of: Callable[..., Record]) -> Callable[[Verdict], Record]:
    """The record of a session of pairs that came to ``verdict``."""

    def make(verdict: Verdict) -> Record:
        record = record_of([[1000] * 64] * 2)
        base = tuple(_run("base", 10 + order, [500] * 64) for order in range(2))
        found = Comparison(SUBJECT, "base", 2, 1.034, (1.021, 1.046), 0.003, 0.02, verdict, 0.031, summarise(base, 1))
        return replace(record, runs=(*record.runs, *base), comparison=found)

    return make


@pytest.fixture
def opened_of() -> Callable[..., Opened]:
    """``opened_of(max_drop=0.01)``: a gate on its way with those limits, its bundles only named."""

    def make(
        *,
        data: str | None = None,
        metric: str | None = None,
        stored: Baseline | None = None,
        first: bool = False,
        **limits: float,
    ) -> Opened:
        names = SimpleNamespace(name="net")
        bundle = SimpleNamespace(manifest=SimpleNamespace(model=names, target=names, precision="int8"))
        gate = Gate("door", Path("door.ewb"), data=data, metric=metric, limits=Limits(**limits))  # type: ignore[arg-type]
        return Opened(gate, cast("Bundle", bundle), None, stored, first)

    return make


@pytest.fixture
def stored() -> Baseline:
    """Five runs of a millisecond that were kept of ``record_of``'s machine, threads and inputs."""
    return Baseline("door", "net", "a" * 64, 1_000_000, 1, "i" * 64, "0", "A CPU", (1e6,) * 5, 1000, None, "then")
