"""Loads the development scripts by path, as they are meant to be: nothing of them is installed."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
RunScript = Callable[..., subprocess.CompletedProcess[str]]


def load(relative: str) -> ModuleType:
    """A file below ``benchmarks`` as a module of its own."""
    path = ROOT / "benchmarks" / relative
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def judge() -> Callable[[str], ModuleType]:
    return lambda name: load(f"cases/judges/{name}.py")


@pytest.fixture(scope="session")
def peers() -> Callable[[str], ModuleType]:
    return lambda name: load(f"peers/{name}.py")


@pytest.fixture(scope="session")
def run_script() -> RunScript:
    """Runs a script of ``benchmarks`` in a process of its own; ``unset`` names variables it must not see."""

    def run(script: str, *args: str | Path, unset: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, args)]
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    return run


@pytest.fixture(scope="session")
def digits(run_script: RunScript, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits case, built once: it needs nothing that the dev extra does not install."""
    folder = tmp_path_factory.mktemp("cases")
    built = run_script("cases", "build", "digits", "--into", folder)
    assert built.returncode == 0, built.stderr
    return folder / "digits"
