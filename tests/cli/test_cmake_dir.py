from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import edgewright
from edgewright.core.errors import ExitCode

if TYPE_CHECKING:
    from tests.conftest import RunCli


@pytest.fixture(scope="module")
def folder(run_cli: RunCli) -> Path:
    done = run_cli("cmake-dir")
    assert (done.returncode, done.stderr) == (0, "")
    return Path(done.stdout.removesuffix("\n"))


def test_it_is_where_the_package_files_are(folder: Path) -> None:
    assert folder.is_absolute()
    assert {"EdgewrightConfig.cmake", "EdgewrightConfigVersion.cmake", "step.sh"} <= {
        one.name for one in folder.iterdir()
    }


def test_cmake_is_told_this_version(folder: Path) -> None:
    text = (folder / "EdgewrightConfigVersion.cmake").read_text("utf-8")
    assert re.findall(r'^set\(PACKAGE_VERSION "(.*)"\)$', text, re.M) == [edgewright.__version__]


def test_a_failing_step_says_the_class_of_its_exit_code(folder: Path) -> None:
    for code in ExitCode:
        done = subprocess.run(
            ["sh", folder / "step.sh", "sh", "-c", 'exit "$1"', "sh", str(int(code))],
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
        name = code.to_json()["exit_class"]
        assert done.returncode == code
        assert done.stderr == ("" if code is ExitCode.OK else f"edgewright: exit code {int(code)}: {name}\n")
