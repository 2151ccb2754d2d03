"""``edgewright cache-key``: what a compile depends on has one name; nothing else changes it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from edgewright.core.budget import Budget
from edgewright.core.errors import UsageError
from edgewright.driver import cache_environment, cache_key
from edgewright.driver.request import CompileRequest

if TYPE_CHECKING:
    from tests.conftest import RunCli

TARGET = "x86-avx2/onnxruntime"
FACTORY = "def samples():\n    raise RuntimeError('nothing here may be run')\n"


@pytest.fixture
def folder(tmp_path: Path, conv_net_path: Path) -> Path:
    found = tmp_path / "project"
    found.mkdir()
    shutil.copy(conv_net_path, found / "net.onnx")
    np.savez(found / "data.npz", x=np.zeros(3))
    (found / "task.py").write_text(FACTORY)
    return found


def request_in(folder: Path) -> CompileRequest:
    return CompileRequest(
        model=str(folder / "net.onnx"), targets=(TARGET,), out=folder / "o.ewb", data=str(folder / "data.npz")
    )


def key(request: CompileRequest) -> str:
    return cache_key.cache_key(request).digest


def rewritten(name: str) -> Callable[[CompileRequest, Path], CompileRequest]:
    def change(request: CompileRequest, folder: Path) -> CompileRequest:
        with (folder / name).open("ab") as file:
            file.write(b" ")
        return request

    return change


CHANGES: dict[str, Callable[[CompileRequest, Path], CompileRequest]] = {
    "the model": rewritten("net.onnx"),
    "the data": rewritten("data.npz"),
    "a limit": lambda one, _: replace(one, budget=Budget(max_drop=0.02)),
    "the target": lambda one, _: replace(one, targets=("x86-avx2/openvino",)),
    "the evaluation data": lambda one, folder: replace(one, eval_data=str(folder / "data.npz")),
    "a factory": lambda one, folder: replace(one, data=f"{folder / 'task.py'}:samples"),
    "a module": lambda one, _: replace(one, data="task:samples"),
    "a metric": lambda one, _: replace(one, metric="top1"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_everything_that_matters_changes_the_name(folder: Path, name: str) -> None:
    request = request_in(folder)
    before = key(request)
    assert key(CHANGES[name](request, folder)) != before


def test_what_a_factory_says_is_in_the_name_and_it_is_not_run(folder: Path) -> None:
    request = replace(request_in(folder), data=f"{folder / 'task.py'}:samples")
    found = cache_key.cache_key(request)
    assert "code must be run" in found.reason
    (folder / "task.py").write_text(FACTORY.replace("here", "there"))
    assert key(request) != found.digest


def test_folder_time_and_the_machines_own_name_are_not_in_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = key(request_in(folder))
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    os.utime(moved / "net.onnx", (1, 1))
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("another\n")
    monkeypatch.setattr(cache_environment, "_MACHINE_ID", machine_id)
    assert key(request_in(moved)) == before


def test_the_processor_and_the_tools_are_in_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request = request_in(folder)
    before = key(request)
    here = cache_environment.machine()
    monkeypatch.setattr(cache_key, "machine", lambda: {**here, "isa": "rv64gc"})
    assert key(request) != before
    monkeypatch.setattr(cache_key, "machine", lambda: here)
    around = cache_environment.surroundings()
    monkeypatch.setattr(cache_key, "surroundings", lambda: {**around, "tools": {"onnxruntime": "0.1"}})
    assert key(request) != before


def test_a_missing_file_is_one_message(folder: Path) -> None:
    with pytest.raises(UsageError, match="for the data"):
        key(replace(request_in(folder), data=str(folder / "gone.npz")))


@pytest.mark.parametrize("option", ["golden", "recipe", "plan"])
def test_a_missing_file_of_an_option_is_one_message(folder: Path, option: str) -> None:
    gone = folder / "gone"
    with pytest.raises(UsageError, match=f"--{option} .*gone does not exist"):
        key(replace(request_in(folder), **{option: gone}))  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["model", "data"])
def test_an_empty_word_is_not_the_folder_one_is_in(folder: Path, word: str) -> None:
    with pytest.raises(UsageError, match=f"the {word} is an empty word"):
        key(replace(request_in(folder), **{word: ""}))  # type: ignore[arg-type]


def test_the_command_prints_the_name_alone(run_cli: RunCli, folder: Path) -> None:
    words = ["cache-key", "net.onnx", "--target", TARGET, "--data", "task.py:samples", "-o", "net.ewb"]
    done = run_cli(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) == 64
    assert "what the code itself reads is not in the name" in done.stderr
    document = json.loads(run_cli(*words, "--json", cwd=folder).stdout)
    assert document["key"] == done.stdout.strip()
    assert document["complete"] is False
    assert run_cli("cache-key", "gone.onnx", "--target", TARGET, cwd=folder).returncode == 2
