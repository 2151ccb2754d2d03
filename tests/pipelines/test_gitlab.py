"""The GitLab template: it fits GitLab's schema, and its script is run as a runner's shell would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
TEMPLATE = ROOT / "pipelines" / "gitlab" / "edgewright.gitlab-ci.yml"
EXAMPLE = ROOT / "tests" / "pipelines" / "gitlab" / ".gitlab-ci.yml"
MOMENTS = ROOT / "tests" / "moments"


def job() -> dict[str, Any]:
    return dict(yaml.safe_load(TEMPLATE.read_text("utf-8"))[".edgewright"])


@pytest.mark.parametrize("file", [TEMPLATE, EXAMPLE], ids=["template", "example"])
def test_files_fit_gitlabs_schema(file: Path) -> None:
    command = [Path(sys.executable).with_name("check-jsonschema"), "--builtin-schema", "vendor.gitlab-ci", file]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_the_example_sets_variables_that_there_are() -> None:
    example = yaml.safe_load(EXAMPLE.read_text("utf-8"))["camera-net"]
    assert set(example["variables"]) <= set(job()["variables"])


def test_the_version_that_is_installed_is_this_one() -> None:
    import edgewright

    assert job()["variables"]["EWB_PACKAGE"] == f"edgewright[compile]=={edgewright.__version__}"
    install = job()["before_script"][-1]
    assert "pip install" in install
    assert '"$EWB_PACKAGE"' in install


def scripted(project: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The lines of ``script``, each of which ends the job where it fails, but for what installs."""
    kept = {name: one for name, one in os.environ.items() if not name.startswith(("PYTEST_", "EDGEWRIGHT_"))}
    (project.parent / "tmp").mkdir(exist_ok=True)
    env = {
        **kept,
        **{name: str(one) for name, one in job()["variables"].items()},
        **variables,
        "EDGEWRIGHT_CACHE_DIR": str(project / ".edgewright-cache"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "PYTHONPATH": str(MOMENTS),
        "TMPDIR": str(project.parent / "tmp"),
    }
    lines = "\n".join([*job()["before_script"][:-1], *job()["script"]])
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", lines],
        cwd=project, env=env, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, conv_net_path: Path) -> Path:
    found = tmp_path / "a project"
    found.mkdir()
    shutil.copy(conv_net_path, found / "net.onnx")
    (found / "broken.onnx").write_text("$(touch hurt)\n")
    return found


@pytest.mark.parametrize("gated", [False, pytest.param(True, marks=pytest.mark.full)])
def test_a_model_is_compiled_and_gated(project: Path, *, gated: bool) -> None:
    words = {"EWB_MODEL": "net.onnx", "EWB_TARGET": "native/onnxruntime", "EWB_OPTIONS": "--precision fp32"}
    done = scripted(project, **words)
    assert done.returncode == 0, done.stderr
    report = json.loads((project / "edgewright-reports" / "compile.json").read_text())
    assert report["exit_class"] == "ok"
    assert (project / "model.ewb").exists()
    if not gated:
        return
    shutil.copy(project / "model.ewb", project / "released.ewb")
    done = scripted(project, **words, EWB_AGAINST="released.ewb", EWB_GATE_OPTIONS="--preset rapid")
    assert done.returncode in (0, 75), done.stderr  # the same bundle twice, in moments: never worse
    assert (project / "edgewright-reports" / "gate.xml").exists()


def test_a_broken_model_ends_the_job_with_its_class(project: Path) -> None:
    done = scripted(project, EWB_MODEL="broken.onnx", EWB_TARGET="native/onnxruntime")
    assert done.returncode == 65
    assert "broken.onnx" in done.stderr
    assert json.loads((project / "edgewright-reports" / "compile.json").read_text())["exit_class"] == "bad-input"
    assert not (project / "hurt").exists()


def test_codes_that_are_let_through_are_those_of_no_verdict() -> None:
    from edgewright.core.errors import ExitCode

    assert job()["allow_failure"]["exit_codes"] == [ExitCode.RETRYABLE, ExitCode.TARGET_ABSENT]
