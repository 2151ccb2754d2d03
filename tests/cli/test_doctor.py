from __future__ import annotations

import json
from importlib import metadata

import pytest

from edgewright.cli import doctor, main
from edgewright.core.errors import ExitCode


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
    assert found["backends/tensorrt"]["state"] == "missing"
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


def test_for_people_each_thing_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert out.startswith("edgewright ")
    assert "\npackages\n" in out
    assert "\nbackends\n" in out
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
