from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgewright
from edgewright.core.errors import BadInputError, EngineError, UnavailableError, UsageError
from tests.pipelines.device.bundles import ratio_bundle, square_bundle, sum_bundle

ONES = np.ones((2, 3), np.float32)


@pytest.fixture(scope="module")
def square(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return square_bundle(tmp_path_factory.mktemp("square") / "square.ewb")


@pytest.mark.parametrize("isolated", [True, False])
def test_one_input_is_given_in_three_ways(square: Path, isolated: bool) -> None:
    model = edgewright.load(square, threads=1, isolated=isolated)
    try:
        assert [spec.name for spec in model.inputs] == ["x"]
        assert [spec.name for spec in model.outputs] == ["y", "mean"]
        for answer in (model.run(3 * ONES), model.run({"x": 3 * ONES}), model.run(x=3 * ONES)):
            assert answer.keys() == {"y", "mean"}
            np.testing.assert_array_equal(answer["y"], 9 * ONES)
            assert answer["mean"] == 9
        assert repr(model) == "<square, fp32: x: float32 2x3 -> y: float32 2x3, mean: float32 scalar>"
    finally:
        model.close()
        model.close()
    with pytest.raises(EngineError, match="closed"):
        model.run(ONES)


def test_what_does_not_fit_is_one_message_and_the_engine_goes_on(square: Path, tmp_path: Path) -> None:
    with edgewright.load(square) as model:
        for wrong, problem in (
            (ONES.astype(np.float64), "input 'x' is float64, the model takes float32"),
            (ONES[:1], r"input 'x' has shape \(1, 3\), the model takes 2x3"),
            ({"z": ONES}, "unknown input 'z'; input 'x' is missing"),
            ([[1.0]], "input 'x' is a list, not an array"),
            (None, "input 'x' is missing"),
        ):
            with pytest.raises(BadInputError, match=problem):
                model.run(wrong)  # type: ignore[arg-type]
        np.testing.assert_array_equal(model.run(ONES)["y"], ONES)
    with (
        edgewright.load(ratio_bundle(tmp_path / "ratio.ewb")) as two,
        pytest.raises(UsageError, match="one array was given, and the model takes 'a', 'b'"),
    ):
        two.run(np.ones((1, 4), np.float32))


def test_state_is_kept_until_it_is_reset(tmp_path: Path) -> None:
    x = np.array([[1, 2]], np.float32)
    with edgewright.load(sum_bundle(tmp_path / "sum.ewb")) as model:
        assert [spec.name for spec in model.data_inputs] == ["x"]
        assert [model.run(x)["total"].tolist() for _ in range(2)] == [[[1, 2]], [[2, 4]]]
        model.reset()
        assert model.run(x)["total"].tolist() == [[1, 2]]
        assert model.run(x=x, so_far=10 * x)["total"].tolist() == [[11, 22]]


def test_an_engine_that_dies_is_an_error_here_and_not_the_end(square: Path) -> None:
    model = edgewright.load(square)
    os.kill(model._session._child.pid, signal.SIGSEGV)  # type: ignore[attr-defined]
    with pytest.raises(EngineError, match="SIGSEGV"):
        model.run(ONES)


def test_a_program_that_never_closes_ends_all_the_same(square: Path) -> None:
    code = f"import edgewright, numpy\nprint(edgewright.load({str(square)!r}).run(numpy.ones((2, 3), 'f4'))['mean'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")


def test_what_cannot_be_opened_says_why(square: Path, tmp_path: Path) -> None:
    altered = tmp_path / "altered.ewb"
    data = bytearray(square.read_bytes())
    data[data.index(b"ReduceMean")] ^= 1
    altered.write_bytes(data)
    with pytest.raises(BadInputError):
        edgewright.load(altered)
    with pytest.raises(UsageError, match="does not exist"):
        edgewright.load(tmp_path / "nothing.ewb")
    with pytest.raises(UsageError, match="is 0"):
        edgewright.load(square, threads=0)
    with pytest.raises(UnavailableError):
        edgewright.load(_of_another_release(tmp_path))


def _of_another_release(folder: Path) -> Path:
    from edgewright.core.bundle import open_bundle, write_bundle

    whole = open_bundle(square_bundle(folder / "new.ewb"))
    manifest = whole.manifest.to_json()
    backend = {**manifest["backend"], "versions": {"onnxruntime": "99.0.0"}}  # type: ignore[dict-item]
    out = folder / "future.ewb"
    write_bundle(out, {**manifest, "backend": backend}, {}, {"model.onnx": folder / "new.onnx"}, whole.golden())
    return out
