"""What was timed while a model was trained: ``edgewright.training/1``, in the file of records under ``training``.

Latencies here are search grade: they decided what to build, in the precision it was meant to be shipped in, and stand
here so that the decisions can be followed. Figures to quote are those of the records beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.record import append_to

SCHEMA = "edgewright.training/1"


@dataclass(frozen=True)
class StageTimings:
    """One stage: its name, and what it timed, as JSON values (milliseconds and seconds, as their names say)."""

    stage: str
    timings: Mapping[str, object]


def append_training(path: Path, bundle_sha256: str, target: str, stages: Sequence[StageTimings]) -> None:
    """Adds what ``stages`` timed to the file of records at ``path``, which is made when absent.

    Args:
        path: beside the bundle.
        bundle_sha256: of the bundle that came of it.
        target: what that was compiled for.
        stages: in the order in which they ran.

    Raises:
        BadInputError, CannotWriteError, IOFailureError: as :func:`edgewright.benchmarks.record.append_record`.
    """
    entry = {
        "schema": SCHEMA,
        "bundle_sha256": bundle_sha256,
        "target": target,
        "grade": "search",
        "machine_identity": this_machine().identity,
        "stages": [{"stage": one.stage, **one.timings} for one in stages],
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    append_to(path, "training", entry)
