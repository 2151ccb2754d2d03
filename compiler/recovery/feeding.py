"""Batches with what they should be answered, each a pure function of the seed, the epoch and the step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgewright.compiler.pass_base import Note
from edgewright.compiler.recovery.augmentation import augmentation, is_image, strength_for
from edgewright.compiler.recovery.calls import tensors_of
from edgewright.compiler.recovery.job import Job
from edgewright.compiler.recovery.objective import Objective, Wanted
from edgewright.compiler.recovery.settings import Settings
from edgewright.compiler.torch_stage.context import StoppedError
from edgewright.core.tensors import Array

if TYPE_CHECKING:
    import torch

_PROBED = 128
_KEPT_BYTES = 2 << 30
"""Of the teacher's answers on disk; more are asked for anew."""


class Feeding:
    """What each step is fed."""

    def __init__(self, job: Job, settings: Settings, objective: Objective) -> None:
        arrays, context, options = job.arrays, job.context, job.options
        self._arrays, self._indices, self._context = arrays, np.asarray(job.indices), context
        self._settings, self._objective = settings, objective
        self.samples = len(job.indices)
        self.steps = max(1, settings.per_epoch // settings.batch)
        self._kept: Mapping[str, Array] | None = None
        self._files: list[Path] = []
        labels = objective.uses_labels
        flip = options.flip and not (labels and options.labels_loss) and self._mirrored(job, settings)
        strength = strength_for(options.augment, self.samples)
        self._augment, self.words = augmentation(self.first(job), strength, flip=flip, mix=not labels)
        self.notes: tuple[Note, ...] = ()
        if self._augment is None and options.augment not in ("auto", "none"):
            self.notes = (Note("skipped", "augment", self.words),)

    def _mirrored(self, job: Job, settings: Settings) -> bool:
        import torch

        chosen = job.indices[:_PROBED]
        inputs = tensors_of(job.arrays.batch(chosen), job.context.inputs, torch.device(settings.device))
        return len(inputs) == 1 and is_image(inputs[0]) and self._objective.knows_mirrored(inputs)

    @staticmethod
    def first(job: Job) -> tuple[torch.Tensor, ...]:
        """A small batch to see what batches are like; of the size asked for, where the student may take no other."""
        import torch

        count = min(job.options.batch or 8, len(job.arrays))
        return tensors_of(job.arrays.batch(range(count)), job.context.inputs, torch.device("cpu"))

    def prepare(self, folder: Path) -> None:
        """Asks the teacher once for all, where every epoch would ask it the same.

        In batches of a fixed order, so that answers do not depend on where a run was resumed.
        """
        objective = self._objective
        if self._augment is not None or not objective.uses_teacher or objective.uses_features:
            return
        first = self._answers(self._indices[: self._settings.batch])
        size = sum(value.nbytes for value in first.values()) // len(self._indices[: self._settings.batch])
        rows = self._arrays.rows or 1
        seen = self._settings.epochs * self._settings.per_epoch
        if seen < 2 * self.samples or size * self.samples > _KEPT_BYTES:
            return
        folder.mkdir(parents=True, exist_ok=True)
        kept: dict[str, Array] = {}
        for place, (name, value) in enumerate(first.items()):
            shape = (len(self._arrays), rows, *value.shape[1:])
            self._files.append(folder / f"teacher-{place}.npy")
            kept[name] = np.lib.format.open_memmap(self._files[-1], "w+", value.dtype, shape)
        for start in range(0, self.samples, self._settings.batch):
            if self._context.stopping():
                raise StoppedError
            chosen = self._indices[start : start + self._settings.batch]
            for name, value in self._answers(chosen).items():
                kept[name][chosen] = value.reshape(len(chosen), rows, *value.shape[1:])
        self._kept = kept

    def close(self) -> None:
        """Takes the teacher's answers from the disk."""
        self._kept = None
        for path in self._files:
            path.unlink(missing_ok=True)

    def order(self, epoch: int) -> list[int]:
        """The samples of ``epoch``, shuffled."""
        shuffled: list[int] = self._random(epoch, 0).permutation(self._indices).tolist()
        return shuffled

    def batch(self, epoch: int, step: int, order: Sequence[int]) -> tuple[tuple[torch.Tensor, ...], Wanted]:
        """Inputs of one step and what they should be answered; also seeds torch for the step (dropout)."""
        import torch

        size = self._settings.batch
        indices = order[step * size : (step + 1) * size]
        seed = int(self._random(epoch, step + 1).integers(1 << 62))
        torch.manual_seed(seed)
        inputs = tensors_of(self._arrays.batch(indices), self._context.inputs, torch.device("cpu"))
        if self._augment is not None:
            inputs = self._augment(inputs, torch.Generator().manual_seed(seed))
        device = torch.device(self._settings.device)
        inputs = tuple(one.to(device) for one in inputs)
        labels = self._arrays.labels_of(indices) if self._objective.uses_labels else None
        wanted = None if labels is None else torch.from_numpy(labels).to(device)
        if self._kept is None:
            return inputs, self._objective.wanted(inputs, wanted)
        answers = {name: value[np.asarray(indices)] for name, value in self._kept.items()}
        outputs = {name: torch.from_numpy(value.reshape(-1, *value.shape[2:])) for name, value in answers.items()}
        return inputs, Wanted({name: value.to(device) for name, value in outputs.items()}, {}, wanted)

    def _answers(self, indices: Sequence[int] | np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> dict[str, Array]:
        import torch

        feeds = self._arrays.batch(indices)  # type: ignore[arg-type]
        inputs = tensors_of(feeds, self._context.inputs, torch.device(self._settings.device))
        return {name: value.cpu().numpy() for name, value in self._objective.wanted(inputs, None).outputs.items()}

    def _random(self, epoch: int, place: int) -> np.random.Generator:
        return np.random.default_rng([self._context.seed, 23, epoch, place])
