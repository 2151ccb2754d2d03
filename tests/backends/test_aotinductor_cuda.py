"""Finding CUDA's headers in folders laid out as PyPI's packages are; nothing is compiled for a GPU here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewright.backends import _aotinductor_cuda as cuda
from edgewright.backends._aotinductor_build import _not_built


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    for name in ("CUDA_HOME", "CUDA_PATH", "CPATH", "LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(cuda, "_USUAL_HOME", tmp_path / "no toolkit")
    nvidia, triton = tmp_path / "nvidia", tmp_path / "triton"
    for folder in (nvidia / "cu13/include/cccl", nvidia / "cu13/lib", triton / "backends/nvidia/include"):
        folder.mkdir(parents=True)
    (nvidia / "cu13/include/cuda_runtime_api.h").touch()
    return [nvidia, triton]


def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


def test_the_packages_of_torchs_dependencies_are_a_toolkit_where_there_is_none(packages, tmp_path: Path) -> None:
    found = cuda.environment(scratch(tmp_path), packages)
    nvidia, triton = packages
    assert found["CUDA_HOME"] == str(nvidia / "cu13")
    assert found["CPATH"].split(os.pathsep) == [
        str(nvidia / "cu13/include"),
        str(nvidia / "cu13/include/cccl"),
        str(triton / "backends/nvidia/include"),
    ]
    assert str(nvidia / "cu13/lib") in found["LIBRARY_PATH"].split(os.pathsep)


def test_what_the_user_set_comes_first_and_a_toolkit_is_left_alone(
    packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_HOME", "/opt/cuda")
    monkeypatch.setenv("CPATH", "/opt/include")
    found = cuda.environment(scratch(tmp_path), packages)
    assert "CUDA_HOME" not in found
    assert found["CPATH"].split(os.pathsep)[0] == "/opt/include"


def test_linkers_find_the_drivers_library(packages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = tmp_path / "libcuda.so.580.1"
    driver.touch()
    monkeypatch.setattr(cuda, "_loaded_driver", lambda: driver)
    folder = scratch(tmp_path)
    found = cuda.environment(folder, packages)
    assert found["LIBRARY_PATH"].endswith(str(folder / "lib"))
    assert (folder / "lib/libcuda.so").resolve() == driver


@pytest.mark.parametrize(
    ("text", "problem", "remedy"),
    [
        (
            "Command:\ng++ -D A\n\nOutput:\nIn file x:\nx.h:5:10: fatal error: crt/host_defines.h: No such file\n 5 |",
            "fatal error: crt/host_defines.h",
            "nvidia-cuda-crt",
        ),
        ("Output:\nld: cannot find -lcuda: No such file", "cannot find -lcuda", "nvidia-cuda-toolkit"),
        ("CUDA_HOME environment variable is not set.", "CUDA_HOME", "nvidia-cuda-toolkit"),
        ("Command:\ng++\nw.cpp:3:1: error: 'foo' was not declared", "'foo' was not declared", "Another runtime"),
        ("No lowering for aten.frob", "No lowering for aten.frob", "Another runtime"),
    ],
)
def test_a_failed_build_is_told_by_what_the_compiler_said(text: str, problem: str, remedy: str) -> None:
    told = _not_built(RuntimeError(text))
    assert problem in told.problem
    assert "\n" not in told.problem
    assert remedy in told.remedy
