from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgewright.cli import main
from edgewright.core.errors import ExitCode
from edgewright.targets.load import hardware_names, load_targets
from edgewright.targets.parse import target_from_json


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_list_has_every_target_and_marks_what_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["targets"]) == ExitCode.OK
    shown = {line.split()[0]: line for line in lines(capsys)}
    assert set(shown) == {target.name for name in hardware_names() for target in load_targets(name)}
    assert " here " in shown["native/onnxruntime"]
    assert " here " not in shown["jetson-orin/tensorrt"]


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
