from __future__ import annotations

import json
from importlib import metadata

import pytest

from edgewright.backends import Availability, tensorrt
from edgewright.backends.aotinductor import AotInductor
from edgewright.backends.onnxruntime import OnnxRuntime
from edgewright.backends.tensorrt import FlavourFound
from edgewright.cli import doctor, main
from edgewright.core.errors import ExitCode
from edgewright.targets import cuda
from edgewright.targets.cuda import Cuda, CudaDevice


def items(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    assert main(["doctor", "--json"]) == ExitCode.OK
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "edgewright.doctor/1"
    return {f"{item['area']}/{item['name']}": item for item in report["items"]}


def test_every_extra_backend_and_the_machine_are_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    found = items(capsys)
    assert found["packages/edgewright"]["state"] == "ok"
    assert f"onnxruntime {metadata.version('onnxruntime')}" in found["packages/edgewright"]["text"]
    assert {"packages/compile", "packages/torch", "packages/openvino", "packages/images"} <= set(found)
    assert not {"packages/dev", "packages/all"} & set(found)
    assert found["backends/onnxruntime"]["state"] == "ok"
    assert "cores" in found["machine/processor"]["text"]
    assert "machine/measurement" in found


def test_what_is_missing_comes_with_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "onnxscript":
            raise metadata.PackageNotFoundError(name)
        return "1.0" if name == "torch" else real(name)

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = items(capsys)
    assert found["packages/compile"]["state"] == "missing"
    assert found["packages/compile"]["text"].endswith("missing: onnxscript")
    assert found["packages/compile"]["remedy"] == "pip install --upgrade 'edgewright[compile]'"
    assert found["packages/torch"]["state"] == "old"
    assert "needs torch >= 2.10" in found["packages/torch"]["text"]
    assert found["packages/edgewright"]["remedy"] == ""


H200 = CudaDevice(0, "NVIDIA H200", (9, 0), 150 << 30)
ODD = CudaDevice(1, "NVIDIA B200", (10, 0), 180 << 30)


class TestNvidia:
    def test_without_a_driver_it_says_so_and_what_to_type_for_each_package(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cuda, "this_cuda", lambda: Cuda((), None, "no NVIDIA driver on this machine"))
        absent = FlavourFound("tensorrt_rtx", None, "it is not installed", 'pip install "edgewright[tensorrt-rtx]"')
        monkeypatch.setattr(tensorrt, "flavours", lambda: (absent,))
        monkeypatch.setattr(OnnxRuntime, "probe", lambda _: Availability("1.31.1", ("CPU",)))
        found = items(capsys)
        assert found["nvidia/driver"]["state"] == "note"
        assert "no NVIDIA driver on this machine" in found["nvidia/driver"]["text"]
        assert found["nvidia/tensorrt_rtx"]["state"] == "missing"
        assert found["nvidia/tensorrt_rtx"]["remedy"] == 'pip install "edgewright[tensorrt-rtx]"'
        assert found["nvidia/onnxruntime"]["text"] == "1.31.1 has no CUDA provider"
        assert "onnxruntime-gpu" in found["nvidia/onnxruntime"]["remedy"]

    def test_each_gpu_is_named_with_its_targets(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cuda, "this_cuda", lambda: Cuda((H200, ODD), (13, 5), ""))
        here = FlavourFound("tensorrt_rtx", "1.7.1", builds_for=((8, 6), (12, 0)))
        monkeypatch.setattr(tensorrt, "flavours", lambda: (here, FlavourFound("tensorrt", "10.15")))
        monkeypatch.setattr(OnnxRuntime, "probe", lambda _: Availability("1.31.1", ("CUDA", "CPU")))
        found = items(capsys)
        assert found["nvidia/driver"]["text"] == "serves CUDA 13.5"
        assert found["nvidia/GPU 0"]["text"] == "NVIDIA H200, sm_90, 150.0 GiB: --target hopper"
        assert found["nvidia/GPU 1"]["state"] == "note"
        assert found["nvidia/GPU 1"]["text"].endswith("no target describes it")
        assert found["nvidia/tensorrt_rtx"]["text"] == "1.7.1; builds without a GPU for sm_86, sm_120"
        assert found["nvidia/tensorrt"]["text"] == "10.15; builds for the GPU in the machine"
        assert found["nvidia/onnxruntime"]["state"] == "ok"

    @pytest.mark.parametrize(
        ("version", "devices", "state", "says"),
        [
            (None, (), "missing", "torch is not installed"),
            ("2.13.0+cpu", ("CPU",), "missing", "built without CUDA"),
            ("2.13.0+cu130", ("CPU", "CUDA"), "ok", "2.13.0+cu130 with CUDA"),
            ("2.13.0", ("CPU",), "missing", "does not reach the GPU here"),
        ],
    )
    def test_torch_serves_a_gpu_only_when_it_was_built_for_one(
        self,
        version: str | None,
        devices: tuple[str, ...],
        state: str,
        says: str,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(cuda, "this_cuda", lambda: Cuda((H200,), (13, 5), ""))
        monkeypatch.setattr(AotInductor, "probe", lambda _: Availability(version, devices))
        real = doctor._version
        monkeypatch.setattr(doctor, "_version", lambda name: version if name == "torch" else real(name))
        found = items(capsys)["nvidia/torch"]
        assert found["state"] == state
        assert says in found["text"]
        assert bool(found["remedy"]) == (state == "missing")


def test_a_backend_that_cannot_build_for_this_machine_is_not_called_ok(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AotInductor, "probe", lambda _: Availability("2.13", ("CPU",)))
    lacks = Availability(None, (), "there is no C++ compiler", "apt install g++")
    monkeypatch.setattr(AotInductor, "available_for", lambda _, _target: lacks)
    found = items(capsys)["backends/aotinductor"]
    assert found["state"] == "missing"
    assert found["text"] == "2.13, but there is no C++ compiler"
    assert found["remedy"] == "apt install g++"


def test_for_people_each_thing_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert out.startswith("edgewright ")
    assert "\npackages\n" in out
    assert "\nbackends\n" in out
    assert "\nnvidia\n" in out
    assert "\nmachine\n" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("version", "least", "expected"),
    [
        ("2.13.0+cpu", "2.10", False),
        ("2.9.9", "2.10", True),
        ("1.21", "1.21", False),
        (None, "1", False),
        ("1", "", False),
    ],
)
def test_versions_are_compared_by_number(version: str | None, least: str, expected: bool) -> None:
    assert doctor._older(version, least) is expected
