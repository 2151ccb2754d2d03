from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.benchmarks.harness.machine import this_machine
from edgewright.benchmarks.record import (
    ProtocolUsed,
    Record,
    Run,
    Subject,
    Target,
    append_record,
    read_records,
    record_path,
)
from edgewright.benchmarks.summary import summarise
from edgewright.core.errors import BadInputError


def record_of(runs: list[list[int]], model: str = "net", inner: int = 1) -> Record:
    made = tuple(Run("a", order, tuple(ns), (1.0,), 3, 2, 1, 0.0, 1, 0.0) for order, ns in enumerate(runs))
    return Record(
        subject=Subject("a" * 64, "b" * 64, "c" * 64, model, "int8", 1000),
        target=Target("native/onnxruntime", "onnxruntime", 2, host_proxy=False),
        machine=this_machine(),
        versions={"onnxruntime": "1.0"},
        protocol=ProtocolUsed(
            "quick", "single-stream", "run", "inference", inner, 10, True, 0, 4, "d" * 64, "golden", False, ()
        ),
        runs=made,
        voided=(),
        summary=summarise(made, inner),
        memory=None,
        accuracy=None,
        status="ok",
        notes=(),
        created="2026-01-31T12:00:00Z",
    )


def test_records_are_appended_whole(tmp_path: Path) -> None:
    path = tmp_path / "net.record.json"
    assert read_records(path) == []
    append_record(path, record_of([[100] * 20]))
    append_record(path, record_of([[200] * 20]))
    document = json.loads(path.read_text())
    assert document["schema"] == "edgewright.records/1"
    assert [one["summary"]["mean"] for one in read_records(path)] == [100.0, 200.0]
    assert list(tmp_path.iterdir()) == [path]


def test_two_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.record.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda ns: append_record(path, record_of([[ns] * 20])), range(100, 116)))
    assert sorted(one["summary"]["mean"] for one in read_records(path)) == list(range(100, 116))


@pytest.mark.parametrize(
    "text",
    ["", "[]", '{"schema": "edgewright.records/2", "records": []}', '{"schema": "edgewright.records/1"}', "\x00"],
)
def test_a_file_of_another_kind_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "net.record.json"
    path.write_text(text)
    with pytest.raises(BadInputError, match=r"net\.record\.json"):
        append_record(path, record_of([[100] * 20]))
    assert path.read_text() == text


def test_where_records_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for bundle in ("net.ewb", "net", "./net"):
        assert record_path(Path(bundle)) == Path(os.path.realpath(tmp_path)) / "net.record.json"
    (tmp_path / "net").mkdir()
    monkeypatch.chdir(tmp_path / "net")
    assert record_path(Path()) == Path(os.path.realpath(tmp_path)) / "net.record.json"


def test_the_last_field_is_in_the_schema_even_when_nothing_was_measured() -> None:
    plain = replace(record_of([[100] * 20]), status="unsteady").to_json()
    assert plain["energy"]["joules"] is None
    assert plain["energy"]["reason"]
    assert plain["comparison"] is None
    assert plain["status"] == "unsteady"
