"""The GitHub action: its files fit GitHub's schemas, and every step that is ours is run as a runner would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "action.yml"
WORKFLOW = ROOT / "tests" / "pipelines" / "github" / "workflow.yml"
MOMENTS = ROOT / "tests" / "moments"
TARGET = "native/onnxruntime"


def action() -> dict[str, Any]:
    return dict(yaml.safe_load(ACTION.read_text("utf-8")))


@pytest.mark.parametrize(("schema", "file"), [("vendor.github-actions", ACTION), ("vendor.github-workflows", WORKFLOW)])
def test_files_fit_githubs_schemas(schema: str, file: Path) -> None:
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", schema, file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_example_gives_only_inputs_that_there_are_and_all_that_it_must() -> None:
    inputs = action()["inputs"]
    (step,) = [one for one in yaml.safe_load(WORKFLOW.read_text())["jobs"]["camera-net"]["steps"] if "with" in one]
    assert set(step["with"]) <= set(inputs)
    assert {name for name, one in inputs.items() if one.get("required")} <= set(step["with"])


def test_what_a_workflow_says_never_becomes_a_shells_text() -> None:
    for step in action()["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), step["name"]


def test_the_version_that_is_installed_is_this_one() -> None:
    import edgewright

    assert action()["inputs"]["package"]["default"] == f"edgewright[compile]=={edgewright.__version__}"


@dataclass
class Runner:
    """What GitHub's runner keeps while a job goes through the action's steps."""

    folder: Path
    inputs: dict[str, str]

    def __post_init__(self) -> None:
        self.outputs: dict[str, dict[str, str]] = {}
        self.summary = self.folder.parent / "summary.md"
        self.temporary = self.folder.parent / "runner temp"
        self.temporary.mkdir()
        (self.folder.parent / "tmp").mkdir()

    def value(self, text: str) -> str:
        """``text`` with GitHub's expressions, of the few kinds that are used, worked out."""
        known = {"runner.temp": str(self.temporary), "runner.os": "Linux"}
        defaults = {name: one.get("default", "") for name, one in action()["inputs"].items()}
        known |= {f"inputs.{name}": one for name, one in (defaults | self.inputs).items()}
        for step, found in self.outputs.items():
            known |= {f"steps.{step}.outputs.{name}": one for name, one in found.items()}
        return re.sub(r"\$\{\{ *([^}]*?) *\}\}", lambda match: known[match[1]], text)

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        (step,) = [one for one in action()["runs"]["steps"] if one.get("name") == name]
        told = self.folder.parent / "outputs.txt"
        told.write_text("")
        kept = {key: one for key, one in os.environ.items() if not key.startswith(("PYTEST_", "EDGEWRIGHT_"))}
        env = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": str(MOMENTS),
            "TMPDIR": str(self.folder.parent / "tmp"),
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_OUTPUT": str(told),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "RUNNER_TEMP": str(self.temporary),
            **{key: self.value(one) for key, one in step["env"].items()},
        }
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        done = subprocess.run(
            command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=240, check=False
        )
        if "id" in step:
            self.outputs[step["id"]] = dict(line.split("=", 1) for line in told.read_text().splitlines())
        return done


@pytest.fixture
def runner(tmp_path: Path, conv_net_path: Path) -> Runner:
    project = tmp_path / "a project"
    project.mkdir()
    shutil.copy(conv_net_path, project / "net.onnx")
    (project / "broken.onnx").write_text("::error::broken $(touch hurt)\n")
    return Runner(project, {"model": "net.onnx", "target": TARGET, "options": "--precision fp32", "output": "net.ewb"})


def test_a_model_is_compiled_and_kept(runner: Runner) -> None:
    assert runner.run("Name what the compile depends on").returncode == 0
    assert re.fullmatch("[0-9a-f]{64}", runner.outputs["key"]["key"])
    done = runner.run("Compile")
    assert done.returncode == 0, done.stdout + done.stderr
    told = runner.outputs["compile"]
    assert (told["bundle"], told["exit-code"], told["exit-class"]) == ("net.ewb", "0", "ok")
    assert re.fullmatch("[0-9a-f]{64}", told["digest"])
    assert f"| {TARGET} | fp32 |" in runner.summary.read_text()
    kept = {path.name for path in (runner.temporary / "edgewright").iterdir()}
    assert kept == {"compile.json", "model.d", "model.record.json"}
    assert any((runner.temporary / "edgewright-cache").iterdir())


@pytest.mark.full
def test_the_new_one_is_gated_against_the_old_one(runner: Runner) -> None:
    assert runner.run("Compile").returncode == 0
    shutil.copy(runner.folder / "net.ewb", runner.folder / "released.ewb")
    runner.inputs |= {"against": "released.ewb", "gate-options": "--preset rapid"}
    done = runner.run("Gate")
    assert done.returncode in (0, 75), done.stdout + done.stderr  # the same bundle twice, in moments: never worse
    assert "accuracy not judged" in runner.summary.read_text()
    assert "::notice title=edgewright gate::" in done.stderr
    assert (runner.temporary / "edgewright" / "gate.xml").exists()


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"model": "gone.onnx"}, "gone.onnx"),
        ({"target": "no-such-device"}, "no-such-device"),
        ({"options": "it's"}, "No closing quotation"),
        ({"model": "-o.onnx"}, "-o.onnx"),
    ],
)
def test_a_slip_in_the_workflow_is_told_beside_the_run(runner: Runner, inputs: dict[str, str], words: str) -> None:
    """The steps in their order, as a job goes through them until one fails."""
    runner.inputs |= inputs
    names = ["Name what the compile depends on", "Compile"]
    done = next(one for one in map(runner.run, names) if one.returncode or one.args[-1].endswith(" compile"))
    assert done.returncode == 2
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("::error")]
    assert words in line


def test_a_missed_limit_fails_the_job_and_says_so_beside_the_run(runner: Runner) -> None:
    runner.inputs["options"] = "--precision fp32 --max-size 1kB"
    done = runner.run("Compile")
    assert done.returncode == 1
    assert runner.outputs["compile"]["exit-class"] == "limit-missed"
    assert "::error title=edgewright compile%3A limit-missed::" in done.stdout
    assert "limit-missed" in runner.summary.read_text()


def test_a_broken_model_of_a_hostile_name_is_only_a_name(runner: Runner) -> None:
    name = "x$(touch hurt) `touch hurt`;touch hurt'\".onnx"
    (runner.folder / "broken.onnx").rename(runner.folder / name)
    runner.inputs["model"] = name
    done = runner.run("Compile")
    assert done.returncode == 65
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("::")]
    assert line.startswith("::error title=edgewright compile%3A bad-input::")
    assert "%0A" in line  # problem and remedy are one annotation
    assert not (runner.folder / "hurt").exists()
    assert json.loads((runner.temporary / "edgewright" / "compile.json").read_text())["exit_code"] == 65


def test_what_others_print_is_no_command_to_the_runner(runner: Runner) -> None:
    (runner.folder / "task.py").write_text(
        "def samples():\n    print('::warning title=hi::from a factory')\n    raise ValueError('##[error]no data')\n"
    )
    runner.inputs["data"] = "task.py:samples"
    done = runner.run("Compile")
    assert done.returncode == 2
    log = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    assert ". ::warning title=hi::from a factory" in log
    assert len([line for line in log if line.startswith("::")]) == 1
    assert not any("##[" in line for line in log)
