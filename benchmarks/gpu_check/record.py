"""The record: schema ``edgewright.gpu-check/1``, raw blocks and the figures derived from them.

::

    schema
    ways, boundaries    what the names mean
    cells               a list, one for each network and batch size, each timed in a process of its own:

    date                the UTC day
    machine             gpu, driver, gpu_limits, cpu, cores, os, virtual; never a host, a user or a path
    versions            of everything that took part
    network, batch, device, seed, threads, effort, tf32, seconds, arms, order, voided, clocks, figures

An entry of ``arms`` is :class:`~edgewright.benchmarks.gpu_check.plan.ArmResult`, one of ``figures``
:class:`~edgewright.benchmarks.gpu_check.figures.Figures` by boundary and clock. Times are nanoseconds.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import cast

from edgewright.benchmarks.gpu_check.figures import figures_of
from edgewright.benchmarks.gpu_check.plan import BOUNDARIES, WAYS
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.core import jsontext
from edgewright.core.errors import BadInputError, UsageError
from edgewright.core.files import open_regular, write_atomically

SCHEMA = "edgewright.gpu-check/1"
_PACKAGES = (
    *("torch", "triton", "numpy", "onnxruntime", "onnxruntime-gpu", "onnx", "onnxscript"),
    *("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "tensorrt-rtx", "tensorrt-rtx-cu12", "tensorrt-rtx-cu13"),
)

Document = dict[str, object]


def begun() -> Document:
    """A record without cells."""
    return {"schema": SCHEMA, "ways": dict(WAYS), "boundaries": dict(BOUNDARIES), "cells": []}


def origin() -> Document:
    """What a cell that is measured here and now says of that: date, machine, versions; needs torch."""
    machine = asdict(this_machine())
    del machine["isa"], machine["governor"], machine["memory_bytes"]
    return {"date": datetime.now(UTC).date().isoformat(), "machine": machine, "versions": _versions()}


def with_cell(record: Document, cell: Mapping[str, object]) -> Document:
    """The record with one cell more, its figures derived."""
    figures = {
        arm: {
            boundary: {series: asdict(one) for series, one in by_series.items()}
            for boundary, by_series in by_boundary.items()
        }
        for arm, by_boundary in figures_of(cell).items()
    }
    return {**record, "cells": [*cells_of(record), {**cell, "figures": figures}]}


def cells_of(record: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Its cells, in the order they were measured."""
    return cast("list[Mapping[str, object]]", record["cells"])


def merged(records: Sequence[Document]) -> Document:
    """One record with the cells of all; a cell that two of them have is taken once.

    Machines of one kind may differ in their drivers: figures are compared within a cell only, and each names its own.

    Raises:
        UsageError: they are not from one kind of GPU.
    """
    cells: list[Mapping[str, object]] = []
    for record in records:
        cells += [cell for cell in cells_of(record) if cell not in cells]
    require_one_gpu(cells)
    return {**records[0], "cells": cells}


def require_one_gpu(cells: Sequence[Mapping[str, object]]) -> None:
    """Refuses cells of several kinds of GPU, and of GPUs and CPUs.

    Raises:
        UsageError: naming them.
    """
    seen = {str(cast("Mapping[str, object]", cell["machine"])["gpu"] or "no GPU") for cell in cells}
    if len(seen) > 1:
        raise UsageError(f"these are of several machines: {', '.join(sorted(seen))}", "Keep a record for each.")


def read(path: Path) -> Document:
    """The record in a file.

    Raises:
        UsageError: there is none.
        BadInputError: it is something else.
    """
    with open_regular(path, "the record") as file:
        data = file.read()
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is not JSON: {error!s:.200}", "Give a record of gpu_check.") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise BadInputError(f"{path} has the schema {found!r:.80}, not '{SCHEMA}'", "Give a record of gpu_check.")
    return document


def write(path: Path, record: Document) -> None:
    """The record as a file, whole or as before.

    Raises:
        CannotWriteError, IOFailureError: as :func:`edgewright.core.files.replacing`.
    """
    # Raw samples would be a line each in the form for people.
    write_atomically(path, jsontext.canonical(record))


def _versions() -> dict[str, str]:
    import torch

    import edgewright

    found = {"edgewright": edgewright.__version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["torch"] = torch.__version__
    if torch.version.cuda is not None:
        found |= {"cuda": torch.version.cuda, "cudnn": str(torch.backends.cudnn.version())}  # type: ignore[no-untyped-call]
    return found
