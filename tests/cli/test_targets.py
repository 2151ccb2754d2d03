from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.cli import main
from edgewright.core.errors import ExitCode
from edgewright.targets import cuda, detect
from edgewright.targets.cuda import Cuda, CudaDevice
from edgewright.targets.load import described_targets, hardware_names, load_targets
from edgewright.targets.parse import target_from_json


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_list_has_every_target_and_marks_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == ExitCode.OK
    shown = {line.split()[0]: line for line in lines(capsys)}
    assert set(shown) == {target.name for name in hardware_names() for target in described_targets(name)}
    assert " here " in shown["native/onnxruntime"]
    assert " here " not in shown["jetson-orin/tensorrt"]
    assert shown["native/aotinductor"].endswith("(only when named)")
    assert not shown["rtx-ada/aotinductor"].endswith("(only when named)")


def test_json_is_one_document_that_reads_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "show", "rpi5/onnxruntime", "--json"]) == ExitCode.OK
    (document,) = json.loads(capsys.readouterr().out)
    assert document.pop("name") == "rpi5/onnxruntime"
    assert "absent" in document
    document.pop("absent")
    assert target_from_json(document) == load_targets("rpi5/onnxruntime")[0]


def test_show_says_what_int8_means_and_where_it_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "show", "x86-avx2/openvino"]) == ExitCode.OK
    text = " ".join(capsys.readouterr().out.split())
    assert "7 bits of them used; sums saturate at 16 bits" in text
    assert "int8: https://github.com/openvinotoolkit/nncf" in text


def test_detect_shows_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "detect"]) == ExitCode.OK
    shown = lines(capsys)
    assert shown[0] == "native/onnxruntime"
    assert any(line.startswith("  threads ") for line in shown)


def test_detect_names_the_targets_of_the_gpus_here(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    h200, b200 = CudaDevice(0, "NVIDIA H200", (9, 0), 150 << 30), CudaDevice(1, "NVIDIA B200", (10, 0), 180 << 30)
    here = Cuda((h200, b200), (13, 5), "")
    monkeypatch.setattr(cuda, "this_cuda", lambda: here)
    monkeypatch.setattr(detect, "this_cuda", lambda: here)
    assert main(["targets", "detect"]) == ExitCode.OK
    shown = lines(capsys)
    gpus = " ".join(" ".join(shown[shown.index("GPUs") :]).split())
    assert "sm_90 NVIDIA H200, 150.0 GiB: hopper/tensorrt, hopper/onnxruntime, hopper/aotinductor" in gpus
    assert "sm_100 NVIDIA B200, 180.0 GiB: no target describes it" in gpus
    assert main(["targets", "detect", "--json"]) == ExitCode.OK
    names = [item["name"] for item in json.loads(capsys.readouterr().out)]
    assert "native/onnxruntime" in names
    assert "hopper/tensorrt" in names
    assert not any(name.startswith("rtx") for name in names)


def test_detect_says_why_there_is_no_gpu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = Cuda((), None, "no NVIDIA driver on this machine")
    monkeypatch.setattr(cuda, "this_cuda", lambda: nothing)
    monkeypatch.setattr(detect, "this_cuda", lambda: nothing)
    assert main(["targets", "detect"]) == ExitCode.OK
    assert "  NVIDIA          none: no NVIDIA driver on this machine" in lines(capsys)


def test_show_tells_packages_fp8_and_what_a_package_does_not_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", "show", "rtx-ada/tensorrt"]) == ExitCode.OK
    text = " ".join(capsys.readouterr().out.split())
    assert "packages tensorrt_rtx>=1.6, or tensorrt>=10.15" in text
    assert "fp8 float8e4m3fn symmetric activations, float8e4m3fn symmetric weights, biases in float" in text
    assert "Add (of a residual one the other branch)" in text
    assert "limit of int8 TensorRT-RTX lists int8 for the weights of matrix products alone" in text
    assert main(["targets", "show", "native/aotinductor"]) == ExitCode.OK
    assert "takes part only when it is named: native/aotinductor" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["show"], "show needs a target"),
        (["detect", "rpi5"], "detect takes no target"),
        (["show", "rpi6"], "Did you mean rpi5"),
    ],
)
def test_wrong_usage(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets", *words]) == ExitCode.USAGE
    found = capsys.readouterr()
    assert says in found.err
    assert not found.out


def test_a_users_title_cannot_reach_the_terminal_raw(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "board.toml"
    path.write_text('like = "onnx"\ntitle = "evil\\u001b[31m\\u202e"\n')
    assert main(["targets", "show", str(path)]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "\\x1b[31m\\u202e" in out
    assert "\x1b" not in out
