"""``edgewright compile`` of a module that is pruned, distilled and trained for int8, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

from edgewright.core.bundle import open_bundle

if TYPE_CHECKING:
    from tests.cli.conftest import RunHere
    from tests.conftest import RunCli

pytest.importorskip("torch")
pytest.importorskip("torch_pruning")

TARGET = "native/onnxruntime"
NET = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(64, 3))
    return net.eval(), (torch.zeros(1, 1, 8, 8),)
"""
RECIPE = """
[[passes]]
name = "prune"
widths = ["0=16"]
samples = 16

[[passes]]
name = "distil"
epochs = {epochs}
batch = 8
"""


class Project(NamedTuple):
    folder: Path
    words: list[str]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "net.py").write_text(NET)
    rng = np.random.default_rng(0)
    for name, count in (("train", 64), ("data", 16), ("eval", 30)):
        np.savez(tmp_path / f"{name}.npz", input=rng.standard_normal((count, 1, 8, 8)).astype(np.float32))
    words = ["compile", "net.py:net", "--target", TARGET, "--data", "data.npz", "--eval-data", "eval.npz"]
    return Project(tmp_path, [*words, "--train-data", "train.npz", "--precision", "fp32", "--max-drop", "100%"])


def recipe(project: Project, epochs: int) -> list[str]:
    path = project.folder / f"recipe-{epochs}.toml"
    path.write_text(RECIPE.format(epochs=epochs))
    return ["--recipe", path.name]


CHAIN = """
[[passes]]
name = "prune"
widths = ["0=16"]
samples = 16

[[passes]]
name = "distil"
epochs = 1
batch = 8

[[passes]]
name = "qat"
epochs = 1
batch = 8
calibration = 16
"""


def test_the_whole_chain_ends_in_a_bundle_that_names_it(run_cli: RunCli, project: Project) -> None:
    (project.folder / "chain.toml").write_text(CHAIN)
    words = ["int8" if word == "fp32" else word for word in project.words]
    env: dict[str, str | None] = {"TMPDIR": str(project.folder), "OMP_NUM_THREADS": "1"}
    # With int8 asked for by name, what was trained is tried first, and the first that holds is shipped.
    done = run_cli(*words, "--recipe", "chain.toml", "--json", "-o", "net.ewb", cwd=project.folder, env=env)
    assert done.returncode == 0, done.stderr
    (report,) = json.loads(done.stdout)["targets"]
    assert report["precision"] == "int8"
    bundle = open_bundle(project.folder / "net.ewb")
    journal = {entry["pass"]: entry for entry in bundle.journal["passes"]}
    assert journal["prune"]["figures"]["parameters"][1] < journal["prune"]["figures"]["parameters"][0]
    choice = bundle.journal["plan"]["choice"]
    assert choice["variant"] in ("recovered", "qat")
    assert choice["widths"] == ["0=16"]
    assert bundle.manifest.data is not None
    assert bundle.manifest.data.train not in (None, bundle.manifest.data.calibrate)
    assert not (project.folder / "net.ewb.work").exists()


def stopped(project: Project, words: list[str], pattern: str, how: signal.Signals) -> tuple[int, str]:
    """Exit code and talk of a compile that gets the signal ``how`` once a file of ``pattern`` has been written."""
    command = [str(Path(sys.executable).with_name("edgewright")), *words]
    surroundings = {**os.environ, "TMPDIR": str(project.folder), "OMP_NUM_THREADS": "1"}
    path = project.folder / "talk.txt"
    with path.open("wb") as talk:
        child = subprocess.Popen(command, cwd=project.folder, env=surroundings, stdout=talk, stderr=talk)
        deadline = time.monotonic() + 240
        while not any(one.stat().st_size for one in project.folder.glob(pattern)):
            assert child.poll() is None, path.read_text()
            assert time.monotonic() < deadline, path.read_text()
            time.sleep(0.02)
        child.send_signal(how)
        return child.wait(timeout=60), path.read_text()


@pytest.mark.full
def test_a_killed_compile_goes_on_and_comes_to_the_same_bytes(run_cli: RunCli, project: Project) -> None:
    words = [*project.words, *recipe(project, 60)]
    env: dict[str, str | None] = {"TMPDIR": str(project.folder), "OMP_NUM_THREADS": "1"}
    whole = run_cli(*words, "-o", "whole.ewb", cwd=project.folder, env=env)
    assert whole.returncode == 0, whole.stderr

    code, _ = stopped(project, [*words, "-o", "killed.ewb"], "killed.ewb.work/distil-*/checkpoint*", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert not (project.folder / "killed.ewb").exists()

    again = run_cli(*words, "-o", "killed.ewb", cwd=project.folder, env=env)
    assert again.returncode == 0, again.stderr
    assert "prune: finished before with the same inputs" in again.stderr
    assert "distil: goes on from where it was stopped" in again.stderr
    assert (project.folder / "killed.ewb").read_bytes() == (project.folder / "whole.ewb").read_bytes()
    assert not (project.folder / "killed.ewb.work").exists(), "what a compile that came to its end kept is taken away"

    bundle = open_bundle(project.folder / "whole.ewb")
    names = [one.name for one in bundle.manifest.passes]
    assert names[:2] == ["prune", "distil"]
    (pruned, distilled) = bundle.journal["passes"][:2]
    assert pruned["figures"]["widths"] == ["0=16"]
    assert distilled["drop"] is not None
    assert "training samples" in distilled["notes"][0]["text"]


QAT = """
[[passes]]
name = "qat"
epochs = {epochs}
batch = 8
calibration = 16
"""


@pytest.mark.full
def test_an_exported_program_is_trained_once_for_two_runtimes_and_its_plan_repeats(
    run_cli: RunCli, project: Project
) -> None:
    import torch

    namespace: dict[str, Any] = {}
    exec(NET, namespace)
    net, (example,) = namespace["net"]()
    batch = {0: torch.export.Dim("batch")}
    torch.export.save(
        torch.export.export(net, (torch.zeros(2, *example.shape[1:]),), dynamic_shapes=(batch,)),
        project.folder / "net.pt2",
    )
    (project.folder / "qat.toml").write_text(QAT.format(epochs=2))
    swap = {"fp32": "int8", "net.py:net": "net.pt2", TARGET: "x86-avx512-vnni/onnxruntime"}
    words = [*(swap.get(word, word) for word in project.words), "--target", "x86-avx512-vnni/openvino"]
    env: dict[str, str | None] = {"TMPDIR": str(project.folder), "OMP_NUM_THREADS": "1"}
    done = run_cli(*words, "--recipe", "qat.toml", "--json", "-o", "out", cwd=project.folder, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("qat: epoch 2 of 2") == 1
    report = json.loads(done.stdout)["targets"]
    assert len(report) == 2
    first = next(one for one in report if one["target"].endswith("onnxruntime"))
    bundle = Path(first["bundle"])
    words = words[: words.index("--target", words.index("--target") + 1)]  # a plan is of one runtime
    place = words.index("--precision")
    del words[place : place + 2]
    again = run_cli(
        *words, "--plan", str(bundle), "--recipe", "qat.toml", "-o", "again.ewb", cwd=project.folder, env=env
    )
    assert again.returncode == 0, again.stderr
    plans = [open_bundle(project.folder / path).journal["plan"] for path in ("again.ewb", bundle)]
    assert plans[0] == plans[1]


@pytest.mark.full
def test_training_for_int8_that_was_asked_to_end_goes_on(run_cli: RunCli, project: Project) -> None:
    (project.folder / "qat.toml").write_text(QAT.format(epochs=200))
    words = ["int8" if word == "fp32" else word for word in project.words]
    words += ["--recipe", "qat.toml", "-o", "net.ewb"]
    code, told = stopped(project, words, "net.ewb.work/qat-*/training.pt", signal.SIGTERM)
    assert code == 143
    assert "Traceback" not in told
    assert not (project.folder / "net.ewb").exists()
    env: dict[str, str | None] = {"TMPDIR": str(project.folder), "OMP_NUM_THREADS": "1"}
    again = run_cli(*words, cwd=project.folder, env=env)
    assert again.returncode == 0, again.stderr
    assert "qat: goes on from where it was stopped" in again.stderr


def test_a_dry_run_says_what_would_be_trained(run_here: RunHere, project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project.folder)
    done = run_here(*project.words, *recipe(project, 1), "-o", "x.ewb", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["training"] == [
        "prune: on 64 training samples without labels",
        "distil: on 64 training samples without labels",
    ]
    assert not (project.folder / "x.ewb.work").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--precision", "fp32"], "nothing would use --train-data"),
        (["--recipe", "order.toml"], "the recipe has distil, prune; they run as prune, distil"),
        (["--recipe", "goal.toml"], "passes[0].goal: 'faster' states no goal"),
    ],
)
def test_mistakes_are_said_before_anything_runs(
    run_here: RunHere, project: Project, monkeypatch: pytest.MonkeyPatch, change: list[str], message: str
):
    monkeypatch.chdir(project.folder)
    Path("order.toml").write_text('[[passes]]\nname = "distil"\n[[passes]]\nname = "prune"\n')
    Path("goal.toml").write_text('[[passes]]\nname = "prune"\ngoal = "faster"\n')
    done = run_here(*project.words, *change, "-o", "x.ewb")
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_graph_cannot_be_trained(run_here: RunHere, project: Project, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(project.folder)
    words = ["net.onnx" if word == "net.py:net" else word for word in project.words]
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["input"], ["y"])],
        "net",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 8, 8])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), "net.onnx")
    done = run_here(*words, *recipe(project, 1), "-o", "x.ewb")
    assert done.returncode == 2, done.stderr
    assert "'net' is ONNX, and prune, distil train torch modules" in done.stderr
