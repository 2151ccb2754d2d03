from __future__ import annotations

from pathlib import Path

import torch

from edgewright.compiler.recovery.checkpoints import Checkpoint, Position, run_digest
from edgewright.compiler.recovery.result import Score


def checkpoint() -> Checkpoint:
    position = Position(epoch=2, step=3, loss_sum=1.5, losses=[0.5], scores={0: Score(0.25, 1.0), 2: Score(None, 2.0)})
    return Checkpoint("abc", position, {"w": torch.ones(2)}, {"w": torch.zeros(2)}, {}, {}, {"state": {}}, {"batch": 4})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "c.pt"
    checkpoint().write(path)
    found = Checkpoint.read(path, "abc")
    assert isinstance(found, Checkpoint)
    assert found.position == checkpoint().position
    assert torch.equal(found.student["w"], torch.ones(2))
    assert found.settings == {"batch": 4}
    assert [one.name for one in path.parent.iterdir()] == ["c.pt"]


def test_what_is_of_no_use_says_why(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    assert Checkpoint.read(path, "abc") == "there is no checkpoint"
    checkpoint().write(path)
    assert Checkpoint.read(path, "abd") == "the checkpoint is of other options or data"
    path.write_bytes(path.read_bytes()[:100])
    assert "cannot be read" in str(Checkpoint.read(path, "abc"))


def test_a_run_is_known_by_its_options_and_its_weights() -> None:
    state = {"w": torch.ones(2)}
    same = run_digest(("a", 1), {"w": torch.ones(2)})
    assert run_digest(("a", 1), state) == same
    assert run_digest(("a", 2), state) != same
    assert run_digest(("a", 1), {"w": torch.zeros(2)}) != same
