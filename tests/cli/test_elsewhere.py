"""Compiling for GPUs that are not here, as a user does: what is built, what is left to the device, what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgewright.core.bundle import open_bundle
from edgewright.targets.cuda import this_cuda

if TYPE_CHECKING:
    from tests.conftest import RunCli

needs_rtx = pytest.mark.skipif(
    importlib.util.find_spec("tensorrt_rtx") is None, reason="the extra tensorrt-rtx is not installed"
)
pytestmark = pytest.mark.skipif(bool(this_cuda().devices), reason="a GPU is here: this is about GPUs that are not")


@needs_rtx
def test_an_int8_engine_is_built_and_says_what_nobody_ran(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.ewb"
    words = ["compile", conv_net_path, "--target", "rtx-ada", "-o", out, "--data", conv_net_data, "--max-drop", "0.3"]
    done = run_cli(*words, "--precision", "int8")
    assert done.returncode == 0, done.stderr
    assert "latency unmeasured" in done.stderr
    assert "may be computed in floating point" in done.stderr
    bundle = open_bundle(out)
    manifest = bundle.manifest
    assert manifest.backend.pending is None
    assert manifest.backend.entry == "model.engine"
    assert manifest.backend.properties["compute_capability"] == "8.9"
    assert set(bundle.engine_files) == {"model.engine", "model.onnx"}
    assert manifest.accuracy is not None
    assert manifest.accuracy.mark == "host-proxy"
    assert bundle.golden().engine == []
    precisions = bundle.journal["precisions"]
    assert isinstance(precisions, dict)
    assert precisions["written"]["source"] == "typed model"
    assert precisions["written"]["shares"]["int8"] > 0.9
    assert precisions["executed"]["source"] == "unknown"
    shown = run_cli("inspect", out).stdout
    assert "built for   compute capability 8.9" in shown
    assert "executed    unknown" in shown


@pytest.mark.parametrize(("target", "capability"), [("jetson-orin", "8.7"), ("hopper/tensorrt", "9.0")])
def test_an_engine_that_only_the_device_builds_is_left_to_it(
    target: str, capability: str, run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "net.ewb"
    words = ["compile", conv_net_path, "--target", target, "-o", out, "--data", conv_net_data, "--max-drop", "0.3"]
    done = run_cli(*words, "--precision", "fp16", "--json")
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["targets"]
    assert any("is built on the device itself" in note for note in report["notes"])
    manifest = open_bundle(out).manifest
    assert manifest.backend.pending
    assert manifest.backend.entry == "model.onnx"
    assert manifest.backend.properties["compute_capability"] == capability
    assert manifest.limits.bytes_met is None
    finished = run_cli("finish", out, "-o", tmp_path / "finished.ewb")
    assert finished.returncode == 77
    assert not (tmp_path / "finished.ewb").exists()


def test_a_missing_flavour_is_named_with_the_command_that_brings_it(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "tensorrt_rtx.py").write_text('raise ImportError("it is not installed")')
    out = tmp_path / "net.ewb"
    words = ["compile", conv_net_path, "--target", "rtx-ada", "-o", out, "--data", conv_net_data]
    done = run_cli(*words, "--precision", "fp16", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 69
    assert 'pip install "edgewright[tensorrt-rtx]"' in done.stderr
    assert not out.exists()


@needs_rtx
def test_another_plan_gives_the_same_typed_model(
    run_cli: RunCli, conv_net_path: Path, conv_net_data: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.ewb", tmp_path / "second.ewb"
    words = ["compile", conv_net_path, "--target", "rtx-ada/tensorrt", "--data", conv_net_data, "--max-drop", "0.3"]
    assert run_cli(*words, "-o", first, "--precision", "fp16").returncode == 0
    assert run_cli(*words, "-o", second, "--plan", first).returncode == 0
    files = [{item.path: item.sha256 for item in open_bundle(path).manifest.files} for path in (first, second)]
    assert files[0]["engine/model.onnx"] == files[1]["engine/model.onnx"]
