"""The training loop: distillation and quantisation-aware training alike, resumable to the bit at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.compiler.pass_base import Note
from edgewright.compiler.recovery.checkpoints import Checkpoint, Position, on_cpu, run_digest
from edgewright.compiler.recovery.ema import Average
from edgewright.compiler.recovery.feeding import Feeding
from edgewright.compiler.recovery.job import Job
from edgewright.compiler.recovery.judging import Judge
from edgewright.compiler.recovery.objective import Objective
from edgewright.compiler.recovery.optimizing import Optimizing
from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.result import Hooks, Score, TrainResult, preferred
from edgewright.compiler.recovery.settings import Settings, choose, settled
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import Progress, StageContext, StoppedError
from edgewright.core.errors import UsageError

if TYPE_CHECKING:
    import torch

_FEWEST = 4
_NO_HOOKS = Hooks()


def train(
    student: torch.nn.Module,
    teacher: torch.nn.Module | None,
    arrays: Arrays,
    options: TrainOptions,
    *,
    context: StageContext,
    checkpoint: Path,
    hooks: Hooks = _NO_HOOKS,
) -> TrainResult:
    """Trains ``student`` in place and leaves it with its best weights, in evaluation mode, on the CPU.

    Args:
        student: in evaluation mode; takes the context's inputs by position and answers its outputs in order.
        teacher: answers in its place what the student should; None learns from labels alone.
        arrays: what is trained on.
        checkpoint: the file that is written after each epoch and when the context is stopping; where the context
            resumes and the file is of the very same run, training goes on from it.

    Raises:
        UsageError: there is too little to train on, or nothing to learn from.
        StoppedError: the context was stopping; the checkpoint is written.
    """
    if len(arrays) < _FEWEST:
        raise UsageError(f"training takes at least {_FEWEST} samples, there are {len(arrays)}", "Give --train-data.")
    hooks.set_training(student, False)
    training, unseen = _split(arrays, context)
    run = _Run(Job(student, teacher, arrays, training, options, context, hooks), unseen, checkpoint)
    try:
        return run.go()
    finally:
        run.close()


class _Run:
    """One training run."""

    def __init__(self, job: Job, unseen: Sequence[int], checkpoint: Path) -> None:
        import torch

        student, arrays, options, context = job.student, job.arrays, job.options, job.context
        self._job, self._student, self._options, self._context = job, student, options, context
        self._path, self._hooks = checkpoint, job.hooks
        self._notes: list[Note] = []
        self._seconds: list[float] = []
        first = Feeding.first(job)
        settings = choose(options, student, first, len(job.indices), job.teacher)
        parts = (options, settings, context.seed, len(arrays), context.metric, torch.__version__, context.threads)
        self._digest = run_digest(parts, student.state_dict())
        self._saved = self._resumable()
        if self._saved is not None:
            settings = Settings(**self._saved.settings)  # type: ignore[arg-type]
        else:
            settings = settled(settings, [student, *([job.teacher] if job.teacher is not None else [])], first)
        self._settings = settings
        self._place(student, job.teacher)
        self._objective = Objective(job, settings, first)
        self._feeding = Feeding(job, settings, self._objective)
        self._optimizing = Optimizing(student, self._objective.projections, options, settings, self._feeding.steps)
        self._average = Average(student, options.ema)
        select = None if isinstance(context.select, Absent) else context.select
        judged = (arrays, unseen) if select is None else (select, range(len(select)))
        self._judge = Judge(context, *judged, self._objective, settings)
        self._interval = self._judge.interval(settings.per_epoch)
        self._position = Position()
        self._best: dict[str, torch.Tensor] = {}

    def go(self) -> TrainResult:
        """The whole run, or what is left of it."""
        if self._saved is not None:
            self._restore(self._saved)
        else:
            self._position.scores[0] = self._judge.score(self._student)
            self._best = on_cpu(self._student.state_dict())
        self._feeding.prepare(self._context.folder)
        while self._position.epoch < self._settings.epochs and not self._position.ended:
            self._epoch()
            self._save()
        return self._finish()

    def close(self) -> None:
        """Leaves the student as it came: which parameters learn, where it is, how it lies in memory."""
        import torch

        self._optimizing.release()
        self._feeding.close()
        self._student.to("cpu")
        if self._settings.channels_last:
            self._student.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        self._hooks.set_training(self._student, False)

    def _place(self, *modules: torch.nn.Module | None) -> None:
        import torch

        for module in modules:
            if module is not None:
                module.to(self._settings.device)
                if self._settings.channels_last:
                    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _resumable(self) -> Checkpoint | None:
        if not self._context.resume:
            return None
        found = Checkpoint.read(self._path, self._digest)
        if isinstance(found, str):
            if self._path.exists():
                self._notes.append(Note("warning", "resume", f"started afresh: {found}"))
            return None
        return found

    def _restore(self, saved: Checkpoint) -> None:
        self._position, self._best = saved.position, saved.best
        self._student.load_state_dict(saved.student)
        for name, value in saved.average.items():
            self._average.tensors[name].copy_(value)
        self._optimizing.load(saved.optimizer, saved.extras)
        where = f"epoch {self._position.epoch + 1}, step {self._position.step}"
        self._context.log(f"goes on from a checkpoint at {where}")

    def _save(self) -> None:
        Checkpoint(
            digest=self._digest,
            position=self._position,
            student=on_cpu(self._student.state_dict()),
            best=self._best,
            average=on_cpu(self._average.tensors),
            extras=self._optimizing.extras(),
            optimizer=self._optimizing.state(),
            settings=asdict(self._settings),
        ).write(self._path)

    def _epoch(self) -> None:
        """Trains through one epoch, or what is left of it."""
        started = time.monotonic()
        place, steps = self._position, self._feeding.steps
        self._train_mode()
        self._hooks.on_epoch_start(self._student, place.epoch, self._settings.epochs)
        order = self._feeding.order(place.epoch)
        begun = place.step
        while place.step < steps:
            if self._context.stopping():
                self._save()
                raise StoppedError
            done = place.epoch * steps + place.step
            self._hooks.on_step(self._student, done, steps * self._settings.epochs)
            value = self._step(done, order)
            if value is None:
                place.ended = f"the loss was not finite in epoch {place.epoch + 1}, step {place.step + 1}"
                break
            place.step += 1
            place.loss_sum += value
            self._say(started, place.step - begun)
        self._close_epoch(started)

    def _step(self, done: int, order: list[int]) -> float | None:
        """The loss of one step; None, with nothing changed, where it or its gradients are not finite."""
        inputs, wanted = self._feeding.batch(self._position.epoch, self._position.step, order)
        loss = self._objective.loss(inputs, wanted)
        value = float(loss.detach())
        if not math.isfinite(value) or not self._optimizing.step(loss, done):
            return None
        self._average.update(done)
        return value

    def _close_epoch(self, started: float) -> None:
        place = self._position
        if place.step:
            place.losses.append(place.loss_sum / place.step)
        place.epoch, place.step, place.loss_sum = place.epoch + 1, 0, 0.0
        self._hooks.set_training(self._student, False)
        judged = place.epoch % self._interval == 0 or place.epoch == self._settings.epochs or bool(place.ended)
        if judged:
            self._judge_epoch()
        patience = self._options.patience
        if patience and not place.ended and place.epoch - place.best_epoch >= patience:
            place.ended = f"no better result for {patience} epochs"
        self._seconds.append(time.monotonic() - started)
        text = self._line(place.scores[place.epoch] if judged else None)
        self._context.progress(Progress(place.epoch / self._settings.epochs, text, lasting=judged))

    def _judge_epoch(self) -> None:
        place = self._position
        with self._average.applied():
            score = self._judge.score(self._student)
            best, before = place.scores[place.best_epoch], list(place.scores.values())
            place.scores[place.epoch] = score
            forced = self._hooks.must_change and place.best_epoch == 0
            if _finite(score) and (forced or preferred(score, best, before, self._judge.worth)):
                place.best_epoch = place.epoch
                self._best = on_cpu(self._student.state_dict())

    def _train_mode(self) -> None:
        self._hooks.set_training(self._student, True)
        self._optimizing.rest()

    def _line(self, score: Score | None) -> str:
        place = self._position
        loss = f", loss {place.losses[-1]:.4g}" if place.losses else ""
        unseen = f", unseen {score.loss:.4g}" if score is not None else ""
        drop = f", {self._context.metric} drop {score.drop:.4g}" if score is not None and score.drop is not None else ""
        left = (self._settings.epochs - place.epoch) * self._seconds[-1]
        rest = "" if place.ended or left < 1 else f", {_duration(left)} left"
        return f"epoch {place.epoch} of {self._settings.epochs}{loss}{unseen}{drop}{rest}"

    def _say(self, started: float, made: int) -> None:
        place, steps, epochs = self._position, self._feeding.steps, self._settings.epochs
        done = (place.epoch + place.step / steps) / epochs
        per_step = (time.monotonic() - started) / made
        left = (steps * (epochs - place.epoch) - place.step) * per_step
        text = f"epoch {place.epoch + 1} of {epochs}, loss {place.loss_sum / place.step:.4g}, {_duration(left)} left"
        self._context.progress(Progress(done, text))

    def _finish(self) -> TrainResult:
        place = self._position
        self._student.load_state_dict(self._best)
        if place.ended:
            kind = "warning" if "finite" in place.ended else "did"
            self._notes.append(Note(kind, "training", f"ended early: {place.ended}; the best so far is kept"))
        if place.best_epoch == 0:
            text = f"no epoch of {place.epoch} was better than the start by {self._judge.subject}: the start is kept"
            self._notes.append(Note("warning", "training", text))
        chosen = self._settings.describe(self._feeding.samples)
        return TrainResult(
            epochs=place.epoch,
            best_epoch=place.best_epoch,
            losses=tuple(place.losses),
            scores=dict(place.scores),
            samples=self._feeding.samples,
            judged_on=self._judge.subject,
            settings=f"{chosen}; {self._objective.describe()}; {self._feeding.words}",
            notes=(*self._objective.notes, *self._feeding.notes, *self._optimizing.notes, *self._notes),
            seconds=tuple(self._seconds),
        )


def _split(arrays: Arrays, context: StageContext) -> tuple[list[int], list[int]]:
    """Indices that are trained on, and those held back where there is no selection set."""
    count = len(arrays)
    if not isinstance(context.select, Absent):
        return list(range(count)), []
    order = np.random.default_rng([context.seed, 17]).permutation(count).tolist()
    held = max(1, min(1000, count // 10))
    return sorted(order[held:]), sorted(order[:held])


def _finite(score: Score) -> bool:
    return math.isfinite(score.loss) and (score.drop is None or math.isfinite(score.drop))


def _duration(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole} s" if whole < 100 else f"{whole // 60} min" if whole < 6000 else f"{whole / 3600:.1f} h"
