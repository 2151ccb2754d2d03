"""What a search looked at: ``edgewright.search/1``, in the file of records under ``searches``.

Latencies here are search grade: they decided what to build, and stand here so that the decisions can be followed.
Figures to quote are those of the records beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.record import append_to


def append_search(path: Path, bundle_sha256: str, search: Mapping[str, object]) -> None:
    """Adds ``search`` to the file of records at ``path``, which is made when absent.

    Args:
        path: beside the bundle.
        bundle_sha256: of the bundle that came of it.
        search: its document, ``schema`` and ``grade`` included.

    Raises:
        BadInputError, CannotWriteError, IOFailureError: as :func:`edgewright.benchmarks.record.append_record`.
    """
    entry = {
        **search,
        "bundle_sha256": bundle_sha256,
        "machine_identity": this_machine().identity,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    append_to(path, "searches", entry)
