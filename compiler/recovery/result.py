"""What training came to, and what a caller may change of it on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.compiler.pass_base import Note

if TYPE_CHECKING:
    import torch


def _set_training(student: torch.nn.Module, training: bool) -> None:
    student.train(training)


def _nothing(student: torch.nn.Module, now: int, total: int) -> None:
    del student, now, total


@dataclass(frozen=True)
class Hooks:
    """What a caller does to the student while it is trained.

    All of them must leave the same behind when called again at the same place: a resumed run does that.
    """

    set_training: Callable[[torch.nn.Module, bool], None] = _set_training
    """Puts the student into training (True) or evaluation mode; exported programs need a way of their own."""
    on_epoch_start: Callable[[torch.nn.Module, int, int], None] = _nothing
    """Called with (student, epoch, epochs), in training mode, at the start of each epoch and where a run resumes."""
    on_step: Callable[[torch.nn.Module, int, int], None] = _nothing
    """Called with (student, step, steps) of the whole training, before each step."""
    must_change: bool = False
    """The start is no result (a student that has not seen data yet): the best epoch is kept even if it is worse."""


@dataclass(frozen=True)
class Score:
    """How good weights are; smaller is better, the drop decides and the loss breaks ties."""

    drop: float | None
    """The metric's drop against the original on the selection set; None without one."""
    loss: float
    """The training loss (without augmentation) on samples that are not trained on."""

    def better_than(self, other: Score) -> bool:
        """True where these weights are to be preferred."""
        mine = (0.0 if self.drop is None else self.drop, self.loss)
        theirs = (0.0 if other.drop is None else other.drop, other.loss)
        return mine < theirs


def preferred(new: Score, best: Score, seen: Iterable[Score], worth: float) -> bool:
    """Whether ``new`` is to be kept instead of ``best``.

    Drops that are within ``worth`` of the least one seen count as equal: a few samples that flip say nothing, and the
    loss, which every answer moves, decides between them.

    Args:
        seen: all scores so far, ``best`` among them.
        worth: what a few samples are worth in the metric's unit.
    """
    drops = [one.drop for one in (new, *seen) if one.drop is not None]
    if new.drop is None or best.drop is None or not drops:
        return new.better_than(best)
    limit = min(drops) + worth
    if new.drop > limit:
        return False
    return best.drop > limit or new.loss < best.loss


@dataclass(frozen=True)
class TrainResult:
    """What training came to; the student has the weights of ``best_epoch`` and is in evaluation mode, on the CPU."""

    epochs: int
    """That were begun."""
    best_epoch: int
    """Counted from 1; 0 where nothing was better than the start, whose weights the student has again."""
    losses: tuple[float, ...]
    """Mean training loss of each epoch."""
    scores: Mapping[int, Score]
    """By epoch: of the start (0), and of those after which the student was judged; the last always is."""
    samples: int
    """Trained on."""
    judged_on: str
    """Words for what the scores are of."""
    settings: str
    """Words for what was chosen: epochs, batch, learning rate, device, precision."""
    notes: tuple[Note, ...]
    seconds: tuple[float, ...]
    """Each epoch's; of this process only."""

    @property
    def best(self) -> Score:
        """The score of the weights that were kept."""
        return self.scores[self.best_epoch]

    def figures(self) -> dict[str, object]:
        """What the journal keeps."""
        found: dict[str, object] = {
            "epochs": self.epochs,
            "best_epoch": self.best_epoch,
            "samples": self.samples,
            "settings": self.settings,
            "losses": [_rounded(value) for value in self.losses],
            "judged_epochs": list(self.scores),
            "held_out_losses": [_rounded(score.loss) for score in self.scores.values()],
        }
        before, after = self.scores[0].drop, self.best.drop
        if before is not None and after is not None:
            found |= {"drop_before": _rounded(before), "drop_after": _rounded(after)}
        return found

    def timings(self) -> dict[str, object]:
        """What only the record keeps."""
        return {"seconds_per_epoch": [round(value, 2) for value in self.seconds]}


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
