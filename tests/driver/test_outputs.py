from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgewright.core.errors import CannotWriteError, UsageError
from edgewright.driver.outputs import output_groups, record_of
from edgewright.driver.request import CompileRequest

CPU = "native/onnxruntime"


@pytest.fixture
def request_here(tmp_path: Path) -> CompileRequest:
    (tmp_path / "net.onnx").write_bytes(b"weights")
    return CompileRequest(model=str(tmp_path / "net.onnx"), targets=(CPU,), out=tmp_path / "net.ewb")


def test_the_record_lies_beside_the_bundle_or_where_it_is_wished(request_here: CompileRequest, tmp_path: Path) -> None:
    assert record_of(request_here, request_here.out) == tmp_path / "net.record.json"
    named = replace(request_here, record=tmp_path / "times.json")
    assert record_of(named, tmp_path / "net.missed.ewb") == tmp_path / "times.json"


@pytest.mark.parametrize("option", ["record", "depfile"])
def test_a_file_beside_the_bundle_that_cannot_be_written_is_told_before_any_work(
    request_here: CompileRequest, tmp_path: Path, option: str
) -> None:
    for path in (tmp_path, tmp_path / "nowhere" / "file"):
        with pytest.raises(CannotWriteError, match=r"is a folder|does not exist"):
            output_groups(replace(request_here, **{option: path}))


def test_nothing_that_goes_in_is_written_over(request_here: CompileRequest, tmp_path: Path) -> None:
    model = tmp_path / "net.onnx"
    for wrong in ({"out": model}, {"record": model}, {"depfile": model}, {"record": request_here.out}):
        with pytest.raises(UsageError, match=r"goes in|are both"):
            output_groups(replace(request_here, **wrong))  # type: ignore[arg-type]
    assert model.read_bytes() == b"weights"


def test_one_file_of_records_is_for_one_target(request_here: CompileRequest, tmp_path: Path) -> None:
    several = replace(
        request_here, targets=(CPU, "x86-avx2/openvino"), out=tmp_path / "out", record=tmp_path / "r.json"
    )
    with pytest.raises(UsageError, match="2 targets"):
        output_groups(several)
