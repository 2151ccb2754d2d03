"""Running TensorRT engines, against a small TensorRT and a small CUDA driver that keep the rules of the real ones."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.backends import Artifact, LayerTime
from edgewright.backends._cuda_buffers import Buffer, Cuda, load_driver
from edgewright.backends._tensorrt_session import EngineSession
from edgewright.core.errors import BadInputError, EngineError, TargetAbsentError, UnavailableError
from edgewright.core.tensors import TensorSpec

from .fake_tensorrt import FakeDriver, module, plan

VERSION = "10.13.3.9"


@pytest.fixture(params=["10.13.3.9", "11.4.0.12"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    chosen = str(request.param)
    monkeypatch.setitem(sys.modules, "tensorrt", module(chosen))
    return chosen


@pytest.fixture
def driver() -> FakeDriver:
    return FakeDriver()


def artifact(folder: Path, content: bytes, *outputs: str) -> Artifact:
    (folder / "model.engine").write_bytes(content)
    given = tuple(TensorSpec(name, "float32", ("N", 3) if name == "y" else ("M",)) for name in outputs or ("y",))
    return Artifact(
        "tensorrt",
        folder,
        "model.engine",
        ("model.engine",),
        (TensorSpec("x", "float32", ("N", 3)),),
        given,
        {"flavour": "tensorrt", "compute_capability": "9.0"},
        {"tensorrt": VERSION},
    )


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float32)


def test_it_runs_at_every_size_of_its_range(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    with EngineSession(artifact(tmp_path, plan(version)), Cuda(driver)) as session:
        assert session.device_ns is None
        for count in (1, 4, 2, 3):
            x = rows(count, count)
            np.testing.assert_array_equal(session.run({"x": x})["y"], 2 * x)
            assert session.device_ns == 250_000


def test_results_are_the_callers_to_keep_and_layouts_do_not_matter(
    tmp_path: Path, version: str, driver: FakeDriver
) -> None:
    with EngineSession(artifact(tmp_path, plan(version)), Cuda(driver)) as session:
        x = rows(4)
        first = session.run({"x": np.asfortranarray(x)})["y"]
        session.run({"x": rows(4, 1)})
        np.testing.assert_array_equal(first, 2 * x)


def test_an_output_whose_size_the_data_decides(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    found = artifact(tmp_path, plan(version, data_decides=True), "y", "z")
    with EngineSession(found, Cuda(driver)) as session:
        for seed, sign in ((0, 1), (1, 1), (2, -1)):
            x = sign * np.abs(rows(2, seed)) if seed == 2 else rows(2, seed)
            got = session.run({"x": x})
            np.testing.assert_array_equal(got["y"], 2 * x)
            np.testing.assert_array_equal(got["z"], x[x > 0])
        assert got["z"].shape == (0,)


def test_an_output_that_finds_no_memory_is_one_message(tmp_path: Path, version: str) -> None:
    """Not an exception through TensorRT's own code: nothing says what that would do."""
    driver = FakeDriver()
    found = artifact(tmp_path, plan(version, data_decides=True), "y", "z")
    with EngineSession(found, Cuda(driver)) as session:
        session.run({"x": -np.abs(rows(4))})
        driver.room = 8
        with pytest.raises(EngineError, match="output memory could not be allocated"):
            session.run({"x": np.abs(rows(4))})


def test_a_shape_outside_the_range_is_said_before_it_runs(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    with EngineSession(artifact(tmp_path, plan(version)), Cuda(driver)) as session:
        with pytest.raises(BadInputError, match=r"input 'x' has shape \(5, 3\), the engine takes \(1, 3\) to \(4, 3\)"):
            session.run({"x": rows(5)})
        assert session.run({"x": rows(1)})["y"].shape == (1, 3)


def test_all_memory_is_given_back(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    session = EngineSession(artifact(tmp_path, plan(version, data_decides=True), "y", "z"), Cuda(driver))
    session.run({"x": rows(1)})
    session.run({"x": rows(4)})
    assert driver.memory
    session.close()
    session.close()
    assert not driver.memory
    assert driver.open_objects == 0
    with pytest.raises(EngineError, match="closed"):
        session.run({"x": rows(1)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fails": True}, "failed: no address"),
        ({"too_large": True}, "cannot make the engine ready"),
        ({"tensors": []}, "the engine is not of this model: x, y"),
    ],
)
def test_what_goes_wrong_is_one_message_and_leaves_nothing_behind(
    tmp_path: Path, version: str, driver: FakeDriver, change: dict[str, object], message: str
) -> None:
    def use() -> None:
        with EngineSession(artifact(tmp_path, plan(version, **change)), Cuda(driver)) as session:
            session.run({"x": rows(1)})

    with pytest.raises(EngineError, match=message) as caught:
        use()
    assert "/_src" not in str(caught.value)
    assert not driver.memory
    assert driver.open_objects == 0


def test_bytes_that_are_no_engine_are_refused(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    with pytest.raises(EngineError, match=f"TensorRT {version} refuses model.engine: Serialization assertion") as error:
        EngineSession(artifact(tmp_path, b"no engine"), Cuda(driver))
    assert "/_src" not in str(error.value)
    assert driver.open_objects == 0


def test_a_type_that_the_engine_does_not_have_is_found_before_a_byte_is_copied(
    tmp_path: Path, version: str, driver: FakeDriver
) -> None:
    told = artifact(tmp_path, plan(version))
    other = replace(told, inputs=(replace(told.inputs[0], dtype="float16"),))
    with pytest.raises(EngineError, match="not of this model: x"):
        EngineSession(other, Cuda(driver))


def test_a_profile_joins_times_with_kinds_and_precisions(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    with EngineSession(artifact(tmp_path, plan(version)), Cuda(driver)) as session:
        assert session.profile({"x": rows(1)}) == [
            LayerTime("conv1 + relu", "CaskConvolution", "int8", 500.0, ("conv1", "relu")),
            LayerTime("last", "kgen", "fp16", 1500.0, ("last",)),
        ]
        assert session.run({"x": rows(2)})["y"].shape == (2, 3)


def test_an_input_that_is_an_output_too_goes_by_the_name_the_parser_gives_it(
    tmp_path: Path, version: str, driver: FakeDriver
) -> None:
    tensors = [
        {"name": "__x", "mode": "INPUT", "dtype": "FLOAT", "shape": [-1, 3], "profile": [[1, 3], [2, 3], [4, 3]]},
        {"name": "x", "mode": "OUTPUT", "dtype": "FLOAT", "shape": [-1, 3]},
    ]
    told = artifact(tmp_path, plan(version, tensors=tensors))
    both = replace(told, outputs=(replace(told.inputs[0]),))
    with EngineSession(both, Cuda(driver)) as session:
        assert session._fed == {"x": "__x"}
        got = session.run({"x": rows(2)})
        np.testing.assert_array_equal(got["x"], 2 * rows(2))  # what this fake makes of every input


def test_a_flavour_without_times_says_so(tmp_path: Path, version: str, driver: FakeDriver) -> None:
    with (
        EngineSession(artifact(tmp_path, plan(version, layers=[])), Cuda(driver)) as session,
        pytest.raises(UnavailableError, match="reports no times of layers"),
    ):
        session.profile({"x": rows(1)})


def test_a_device_without_memory_is_told_as_such() -> None:
    with pytest.raises(EngineError, match="cuMemAlloc_v2 failed: out of memory") as caught:
        Buffer(Cuda(FakeDriver(room=100))).reserve(101)
    assert caught.value.kind == "memory"


def test_a_buffer_only_grows() -> None:
    driver = FakeDriver()
    buffer = Buffer(Cuda(driver))
    assert buffer.reserve(0) == buffer.reserve(1)
    large = buffer.reserve(100)
    assert buffer.reserve(10) == large
    assert len(driver.memory) == 1


def test_a_machine_without_a_driver_is_no_place_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgewright.backends._cuda_buffers._LIBRARIES", ("libno_such_driver.so",))
    with pytest.raises(TargetAbsentError, match="no NVIDIA driver"):
        load_driver()


def test_device_memory_is_what_was_copied_to_it() -> None:
    """On a real GPU, where there is one."""
    try:
        cuda = Cuda()
    except TargetAbsentError as error:
        pytest.skip(error.problem)
    given = rows(1000)
    buffer = Buffer(cuda)
    buffer.reserve(given.nbytes)
    cuda.mark_start()
    cuda.to_device(buffer.address, given)
    cuda.mark_end()
    back = cuda.to_host(buffer.address, given.shape, given.dtype)
    cuda.synchronise()
    np.testing.assert_array_equal(back, given)
    assert 0 < cuda.elapsed_ns() < 1_000_000_000
    buffer.free()
    cuda.close()
