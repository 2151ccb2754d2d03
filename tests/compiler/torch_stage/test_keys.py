"""What a stage's folder is called: by all that decides what comes out, and by nothing that a clock said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgewright.compiler.site import Absent, Goal, Site, Training
from edgewright.compiler.torch_stage.keys import folder_digest, stage_key
from edgewright.core.budget import Budget
from edgewright.core.model import TorchSource
from edgewright.targets.load import load_targets

SOURCE = TorchSource("factory", "net.py:net", "net", (), False, (), ())

HALF = Goal(latency_ratio=0.5)


@dataclass(frozen=True)
class Options:
    epochs: int = 3
    keep: tuple[str, ...] = ()
    labels_loss: str = ""


@dataclass(frozen=True)
class Data:
    digest: str = "d"
    labelled: bool = False
    name: str = "data"


@dataclass(frozen=True)
class World:
    """One compile's site and what else a key covers."""

    options: Options = Options()
    source: TorchSource = SOURCE
    goal: Goal = HALF
    data: Data = Data()
    seed: int = 0
    model: str = "m"
    extra: dict[str, Path] = field(default_factory=dict)

    def key(self, workdir: Path) -> str:
        training = Training(
            train=self.data,  # type: ignore[arg-type]
            select=Absent("none"),
            goal=self.goal,
            keep=(),
            checkpoints=workdir,
            resume=True,
            threads=2,
        )
        site = Site(
            target=load_targets("onnx")[0],
            original=SimpleNamespace(digest=self.model),  # type: ignore[arg-type]
            samples=Absent("none"),
            run=Absent("none"),
            measure=Absent("none"),
            evaluate=Absent("none"),
            budget=Budget(),
            seed=self.seed,
            workdir=workdir,
            training=training,
        )
        return stage_key("distil", self.source, self.options, site, self.extra)


def test_the_same_inputs_have_the_same_key_whatever_was_measured(tmp_path: Path) -> None:
    world = World()
    timed = Goal(latency_ratio=0.5, limits_ms={"cpu": 1.25}, float32_ms={"cpu": 2.5})
    assert replace(world, goal=timed).key(tmp_path) == world.key(tmp_path / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        {"options": Options(epochs=4)},
        {"goal": Goal(latency_ratio=0.4)},
        {"data": Data(digest="e")},
        {"seed": 1},
        {"model": "n"},
    ],
)
def test_every_input_counts(tmp_path: Path, change: dict[str, object]) -> None:
    assert replace(World(), **change).key(tmp_path) != World().key(tmp_path)


def test_a_state_and_further_files_count_by_their_content(tmp_path: Path) -> None:
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.pt").write_bytes(content)
    assert folder_digest(tmp_path / "a") == folder_digest(tmp_path / "b") != folder_digest(tmp_path / "c")
    keys = [replace(World(), source=replace(SOURCE, state=tmp_path / name)).key(tmp_path) for name in "abc"]
    assert keys[0] == keys[1] != keys[2]
    extras = [replace(World(), extra={"x": tmp_path / name / "weights.pt"}).key(tmp_path) for name in "abc"]
    assert extras[0] == extras[1] != extras[2] != World().key(tmp_path)


def test_an_own_loss_counts_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "loss.py"
    keys = []
    for content in ("a", "a", "b"):
        path.write_text(content)
        keys.append(replace(World(), options=Options(labels_loss=f"{path}:loss")).key(tmp_path))
    assert keys[0] == keys[1] != keys[2]
