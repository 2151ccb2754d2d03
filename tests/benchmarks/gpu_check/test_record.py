from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.benchmarks.gpu_check import record as records
from edgewright.benchmarks.gpu_check.cell import without_paths
from edgewright.benchmarks.gpu_check.record import Document, merged, read, with_cell, write
from edgewright.core.errors import BadInputError, UsageError


def test_what_is_written_is_read(record: Document, tmp_path: Path) -> None:
    write(tmp_path / "gpu.json", record)
    assert read(tmp_path / "gpu.json") == json.loads(json.dumps(record))


def test_records_of_one_kind_of_machine_become_one(record: Document, cell: dict[str, object]) -> None:
    other = with_cell({**record, "cells": []}, {**cell, "batch": 1, "machine": {"gpu": "NVIDIA Test", "driver": "7"}})
    assert [one["batch"] for one in records.cells_of(merged([record, other, record]))] == [32, 1]


@pytest.mark.parametrize("gpu", ["NVIDIA Other", None])
def test_records_of_two_kinds_do_not_become_one(record: Document, cell: dict[str, object], gpu: str | None) -> None:
    other = with_cell({**record, "cells": []}, {**cell, "machine": {"gpu": gpu}})
    with pytest.raises(UsageError, match=f"{gpu or 'no GPU'}"):
        merged([record, other])


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "edgewright.bench/1"}'])
def test_another_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(BadInputError, match=r"x\.json"):
        read(tmp_path / "x.json")


def test_folders_do_not_travel() -> None:
    text = (
        "cannot load /opt/venv/lib/libfoo.so.1 (from /tmp/w/tensorrt-fp16/model.onnx); 3/4 of it; see https://x.org/a/b"
    )
    assert without_paths(text, "/tmp/w") == (
        "cannot load .../libfoo.so.1 (from tensorrt-fp16/model.onnx); 3/4 of it; see https://x.org/a/b"
    )
