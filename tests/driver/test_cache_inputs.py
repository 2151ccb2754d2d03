"""The key of a whole compile: everything that changes the result changes it, nothing else does."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from edgewright.core.budget import Budget
from edgewright.core.cache import Key, Store
from edgewright.driver import cache_environment, cache_inputs
from edgewright.driver.cache_inputs import Unknowable, compile_parts, group_parts, keep_beside
from edgewright.driver.outputs import output_groups
from edgewright.driver.request import CompileRequest
from edgewright.driver.search_budget import SearchBudget

TARGET = "x86-avx2/onnxruntime"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "store").mkdir()
    return Store(tmp_path / "store", 10**6)


@pytest.fixture
def request_(tmp_path: Path) -> CompileRequest:
    """Bytes stand for a model here: nothing that makes a key may open it."""
    (tmp_path / "net.onnx").write_bytes(b"model")
    for name in ("data.npz", "other.npz"):
        np.savez(tmp_path / name, x=np.zeros(len(name)))
    (tmp_path / "recipe.toml").write_text("[metric]\nname = 'top1'\n")
    words = {name: str(tmp_path / f"{name}.npz") for name in ("data",)}
    return CompileRequest(model=str(tmp_path / "net.onnx"), targets=(TARGET,), out=tmp_path / "net.ewb", **words)


def key_of(store: Store, request: CompileRequest) -> str:
    groups = output_groups(request)
    shared = compile_parts(store, request, groups)
    assert isinstance(shared, dict), shared
    return Key("compile", group_parts(shared, groups[0])).digest


CHANGES: dict[str, Callable[[CompileRequest, Path], CompileRequest]] = {
    "eval_data": lambda one, folder: replace(one, eval_data=str(folder / "other.npz")),
    "train_data": lambda one, folder: replace(one, train_data=str(folder / "other.npz")),
    "data": lambda one, folder: replace(one, data=str(folder / "other.npz")),
    "golden": lambda one, folder: replace(one, golden=folder / "other.npz"),
    "recipe": lambda one, folder: replace(one, recipe=folder / "recipe.toml"),
    "plan": lambda one, folder: replace(one, plan=folder / "recipe.toml"),
    "metric": lambda one, _: replace(one, metric="top1"),
    "budget": lambda one, _: replace(one, budget=Budget(max_drop=0.02)),
    "precision": lambda one, _: replace(one, precision="int8"),
    "shapes": lambda one, _: replace(one, shapes=("x=1,3,8,8",)),
    "seed": lambda one, _: replace(one, seed=1),
    "trials": lambda one, _: replace(one, trials=13),
    "time_limit_s": lambda one, _: replace(one, time_limit_s=60.0),
    "keep": lambda one, _: replace(one, keep=("head.*",)),
    "search_settings": lambda one, _: replace(one, search_settings=SearchBudget(3, "trials")),
    "allow_nonfinite": lambda one, _: replace(one, allow_nonfinite=True),
    "targets": lambda one, _: replace(one, targets=("x86-avx512-vnni/onnxruntime",)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_the_result_changes_the_key(
    store: Store, request_: CompileRequest, tmp_path: Path, name: str
) -> None:
    changed = CHANGES[name](request_, tmp_path)
    assert key_of(store, changed) != key_of(store, request_)


def test_every_field_is_in_the_key_or_known_to_change_nothing() -> None:
    names = {item.name for item in fields(CompileRequest)}
    assert names - cache_inputs._WITHOUT_EFFECT <= {*CHANGES, "model"}


def test_what_changes_nothing_changes_no_key(store: Store, request_: CompileRequest, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    for name in ("net.onnx", "data.npz"):
        (tmp_path / "elsewhere" / name).write_bytes((tmp_path / name).read_bytes())
    moved = replace(
        request_,
        model=str(tmp_path / "elsewhere" / "net.onnx"),
        data=str(tmp_path / "elsewhere" / "data.npz"),
        out=tmp_path / "elsewhere" / "other.ewb",
        depfile=tmp_path / "net.d",
        work=tmp_path,
        explain_miss=True,
    )
    assert key_of(store, moved) == key_of(store, request_)


def test_bytes_count_not_times(store: Store, request_: CompileRequest) -> None:
    before, path = key_of(store, request_), Path(request_.model)
    path.write_bytes(path.read_bytes())
    assert key_of(store, request_) == before
    path.write_bytes(b"modem")
    assert key_of(store, request_) != before


def test_weights_beside_the_model(store: Store, request_: CompileRequest, tmp_path: Path) -> None:
    before = key_of(store, request_)
    (tmp_path / "net.weights").write_bytes(b"1")
    keep_beside(store, Path(request_.model), ["net.weights"])
    one = key_of(store, request_)
    (tmp_path / "net.weights").write_bytes(b"2")
    other = key_of(store, request_)
    (tmp_path / "net.weights").unlink()
    assert len({before, one, other, key_of(store, request_)}) == 4


def test_a_folder_of_data(store: Store, request_: CompileRequest, tmp_path: Path) -> None:
    folder = tmp_path / "images" / "cat"
    folder.mkdir(parents=True)
    (folder / "1.npy").write_bytes(b"1")
    request = replace(request_, data=str(tmp_path / "images"))
    before = key_of(store, request)
    (folder / "1.npy").rename(folder / "2.npy")
    renamed = key_of(store, request)
    (folder / "3.npy").write_bytes(b"3")
    assert len({before, renamed, key_of(store, request)}) == 3


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"model": "nets.py:factory"}, "a factory must be run to be known"),
        ({"model": "net.pt"}, "no .onnx or .pt2 file"),
        ({"data": "task.py:samples"}, "--data task.py:samples is no file"),
        ({"metric": "task.py:score"}, "--metric task.py:score is code"),
        ({"trust_pickle": True}, "a pickle must be run"),
        ({"trace": True}, "--trace measures anew"),
        ({"work": Path(), "train_data": "."}, "--work is to hold"),
        ({"resume": False}, "--no-resume begins anew"),
    ],
)
def test_what_cannot_be_known_is_said(
    store: Store, request_: CompileRequest, change: dict[str, object], why: str
) -> None:
    found = compile_parts(store, replace(request_, **change), [])  # type: ignore[arg-type]
    assert isinstance(found, Unknowable)
    assert why in found.reason


def test_a_recipe_that_names_code(store: Store, request_: CompileRequest, tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("[metric]\nname = 'top1'\ndecode = 'task.py:boxes'\n")
    found = compile_parts(store, replace(request_, recipe=tmp_path / "recipe.toml"), [])
    assert isinstance(found, Unknowable)
    assert "task.py:boxes" in found.reason


def test_the_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache_environment.surroundings()
    assert re.fullmatch("[0-9a-f]{64}", cache_environment.sources_digest())
    assert {"python", "numpy", "onnxruntime"} <= cache_environment.tools().keys()
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    changed = cache_environment.surroundings()
    assert changed["environment"] != before["environment"]
    monkeypatch.setenv("EDGEWRIGHT_CACHE_DIR", "somewhere")
    monkeypatch.setenv("LANG", "xx")
    assert cache_environment.surroundings() == changed


def test_a_changed_source_is_another_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "edgewright"
    (package / "benchmarks" / "studies").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(cache_environment.edgewright, "__file__", str(package / "__init__.py"))
    seen = []
    for name, text in (("a.py", "1"), ("a.py", "2"), ("benchmarks/studies/x.py", "3"), ("targets.toml", "4")):
        (package / name).write_text(text)
        cache_environment.sources_digest.cache_clear()
        seen.append(cache_environment.sources_digest())
    cache_environment.sources_digest.cache_clear()
    assert len(set(seen)) == 3
    assert seen[1] == seen[2], "studies are not installed"


def test_machines_of_one_name_are_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def identity(machine_id: str) -> object:
        (tmp_path / "machine-id").write_text(machine_id)
        return cache_environment.machine()["itself"]

    monkeypatch.setattr(cache_environment, "_MACHINE_ID", tmp_path / "machine-id")
    monkeypatch.delenv("EDGEWRIGHT_MACHINE", raising=False)
    own = identity("a")
    assert own not in (identity("b"), "")
    monkeypatch.setenv("EDGEWRIGHT_MACHINE", "hosted")
    assert identity("a") == identity("b") != own
    assert "EDGEWRIGHT_MACHINE" not in cache_environment.environment()
    monkeypatch.setenv("EDGEWRIGHT_MACHINE", "")
    assert identity("a") == own
