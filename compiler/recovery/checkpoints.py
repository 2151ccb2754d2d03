"""A training run on disk: all that is needed to go on as if nothing had happened."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.compiler.recovery.result import Score
from edgewright.core.files import replacing

if TYPE_CHECKING:
    import torch


@dataclass
class Position:
    """Where a run is. Everything that is random follows from the seed, ``epoch`` and ``step``."""

    epoch: int = 0
    """Epochs that are behind."""
    step: int = 0
    """Steps of the current epoch that are behind."""
    loss_sum: float = 0.0
    """Of the steps of the current epoch."""
    losses: list[float] = field(default_factory=list)
    scores: dict[int, Score] = field(default_factory=dict)
    """By the number of epochs that were behind; 0 is the start."""
    best_epoch: int = 0
    ended: str = ""
    """Why training is over before its last epoch; empty while it is not."""


@dataclass
class Checkpoint:
    """One moment of a run; tensors on the CPU."""

    digest: str
    """Of what the run depends on: another digest is another run."""
    position: Position
    student: dict[str, torch.Tensor]
    best: dict[str, torch.Tensor]
    average: dict[str, torch.Tensor]
    extras: dict[str, torch.Tensor]
    """Projections of features."""
    optimizer: dict[str, object]
    settings: dict[str, object]
    """What was chosen for the run, such as its precision, so that it is not chosen again."""

    def write(self, path: Path) -> None:
        """Replaces ``path`` in one go, flushed to disk."""
        import torch

        plain = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "position"}
        state = {item.name: getattr(self.position, item.name) for item in fields(self.position)}
        state["scores"] = {epoch: (score.drop, score.loss) for epoch, score in self.position.scores.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            torch.save({**plain, "position": state}, file)

    @classmethod
    def read(cls, path: Path, digest: str) -> Checkpoint | str:
        """What :meth:`write` wrote, or why it is of no use. It holds tensors and plain values; no code is run."""
        import torch

        if not path.exists():
            return "there is no checkpoint"
        try:
            found = torch.load(path, weights_only=True, map_location="cpu")
            state = found.pop("position")
            state["scores"] = {epoch: Score(*score) for epoch, score in state["scores"].items()}
            checkpoint = cls(**found, position=Position(**state))
        except Exception as error:  # noqa: BLE001 - whatever a broken file raises, the run starts afresh and says so
            return f"the checkpoint cannot be read ({type(error).__name__})"
        if checkpoint.digest != digest:
            return "the checkpoint is of other options or data"
        return checkpoint


def on_cpu(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies that training cannot change any more."""
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}


def run_digest(parts: tuple[object, ...], state: dict[str, torch.Tensor]) -> str:
    """Of everything a run depends on: options, sizes, seed, and the weights it starts from."""
    import torch

    hasher = hashlib.sha256(repr(parts).encode())
    for name, value in sorted(state.items()):
        hasher.update(f"{name}{tuple(value.shape)}".encode())
        hasher.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return hasher.hexdigest()
