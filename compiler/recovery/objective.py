"""What one batch is worth: the loss against the teacher, against labels, or both, and the words that say which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.compiler.metric_kinds import CLASSIFYING
from edgewright.compiler.pass_base import Note
from edgewright.compiler.recovery import losses
from edgewright.compiler.recovery.calls import call, floats
from edgewright.compiler.recovery.features import FeatureLoss, captured, layer_shapes, matching
from edgewright.compiler.recovery.job import Job
from edgewright.compiler.recovery.settings import Settings
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Array

if TYPE_CHECKING:
    import torch

    from edgewright.compiler.recovery.losses import LabelsLoss, Loss, Named

_ALIKE = 0.9


@dataclass(frozen=True)
class Wanted:
    """What a batch's answers should be."""

    outputs: Mapping[str, torch.Tensor]
    features: Mapping[str, torch.Tensor]
    labels: torch.Tensor | None


class Objective:
    """The loss of batches, for one student and one teacher."""

    def __init__(self, job: Job, settings: Settings, first: Sequence[torch.Tensor]) -> None:
        """The student is in evaluation mode; it and the teacher are on the settings' device; ``first`` is a batch."""
        import torch

        context, options, arrays = job.context, job.options, job.arrays
        torch.manual_seed(context.seed)
        self._names = [spec.name for spec in context.outputs]
        self._student, self._options, self._settings = job.student, options, settings
        self._teacher = None if options.loss == "own" else job.teacher
        self.notes: list[Note] = []
        if self._teacher is not None:
            self._teacher.requires_grad_(requires_grad=False)
        inputs = self._laid_out([one.to(settings.device) for one in first])
        with torch.no_grad():
            sample = call(self._teacher or self._student, inputs, self._names)
        self.judging: Loss
        self.judging, self._words = losses.output_loss(options.answers, options.temperature, context.metric, sample)
        self._features = self._find_features(inputs) if options.loss in ("features", "both") else None
        self._labels_loss = self._find_labels_loss(arrays, sample, context.metric)

    @property
    def uses_labels(self) -> bool:
        """Whether labels are part of the loss."""
        return self._labels_loss is not None

    @property
    def uses_teacher(self) -> bool:
        """Whether a teacher answers each batch."""
        return self._teacher is not None

    @property
    def uses_features(self) -> bool:
        """Whether inner layers are compared, so that the teacher's outputs alone are not enough."""
        return self._features is not None

    @property
    def projections(self) -> torch.nn.ModuleDict | None:
        """What is trained beside the student."""
        return None if self._features is None else self._features.projections

    def describe(self) -> str:
        """Words for what is followed."""
        parts = []
        if self._teacher is not None:
            parts += [self._words] if self._options.loss != "features" or self._features is None else []
            parts += [f"{len(self._features.paths)} inner layers"] if self._features is not None else []
        parts += ["labels"] if self.uses_labels else []
        return " and ".join(parts)

    def wanted(self, inputs: Sequence[torch.Tensor], labels: torch.Tensor | None) -> Wanted:
        """What the teacher answers to ``inputs``, in evaluation mode, without gradients."""
        import torch

        if self._teacher is None:
            return Wanted({}, {}, labels)
        paths = self._features.paths if self._features is not None else ()
        with torch.no_grad(), self._autocast(self._settings.teacher_bfloat16), captured(self._teacher, paths) as found:
            outputs = call(self._teacher, self._laid_out(inputs), self._names)
        return Wanted(floats(outputs), found, labels)

    def reference(self, inputs: Sequence[torch.Tensor]) -> Named:
        """The teacher's outputs in full precision, for judging."""
        import torch

        assert self._teacher is not None
        with torch.no_grad():
            return floats(call(self._teacher, inputs, self._names))

    def knows_mirrored(self, inputs: Sequence[torch.Tensor]) -> bool:
        """False where the teacher takes most images for something else when they are mirrored: digits, signs, text."""
        import torch

        if self._teacher is None or self.judging is losses.relative_error:
            return self._teacher is not None
        with torch.no_grad():
            plain, mirrored = (
                next(iter(floats(call(self._teacher, fed, self._names)).values())).argmax(-1)
                for fed in (inputs, [inputs[0].flip(-1)])
            )
        return float((plain == mirrored).float().mean()) >= _ALIKE

    def labels_distance(self, outputs: Named, labels: Array) -> float:
        """The labels' loss of answers, for judging where there is no teacher."""
        import torch

        assert self._labels_loss is not None
        wanted = torch.from_numpy(labels).to(self._settings.device)
        return float(self._labels_loss(outputs, wanted))

    def loss(self, inputs: Sequence[torch.Tensor], wanted: Wanted) -> torch.Tensor:
        """The student's loss on a batch, a scalar with gradients."""
        import torch

        paths = self._features.paths if self._features is not None else ()
        with ExitStack() as stack:
            found = stack.enter_context(captured(self._student, paths)) if paths else {}
            stack.enter_context(self._autocast(self._settings.bfloat16))
            outputs = call(self._student, self._laid_out(inputs), self._names)
        terms = self._distances(outputs, found, wanted)
        if self._labels_loss is not None and wanted.labels is not None:
            share = self._options.labels_weight if terms else 1.0
            terms = [(1 - share) * term for term in terms]
            terms.append(share * self._labels_loss(outputs, wanted.labels))
        return torch.stack(terms).sum()

    def _distances(self, outputs: Named, found: Named, wanted: Wanted) -> list[torch.Tensor]:
        if self._teacher is None:
            return []
        if self._features is None:
            return [self.judging(outputs, wanted.outputs)]
        inner = self._features(found, wanted.features)
        if self._options.loss == "features":
            return [inner]
        return [self.judging(outputs, wanted.outputs), self._options.feature_weight * inner]

    def _autocast(self, on: bool) -> AbstractContextManager[object]:
        import torch

        return torch.autocast(self._settings.device, torch.bfloat16) if on else nullcontext()

    def _laid_out(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        import torch

        if not self._settings.channels_last:
            return tuple(inputs)
        return tuple(one.contiguous(memory_format=torch.channels_last) if one.ndim == 4 else one for one in inputs)

    def _find_features(self, inputs: Sequence[torch.Tensor]) -> FeatureLoss | None:
        if self._teacher is None:
            return None
        mine, theirs = layer_shapes(self._student, inputs), layer_shapes(self._teacher, inputs)
        paths = matching(mine, theirs)
        if not paths:
            self.notes.append(
                Note("skipped", "features", "no inner layer of the student has one of its own kind in the teacher")
            )
            return None
        return FeatureLoss(paths, mine, theirs).to(self._settings.device)

    def _find_labels_loss(self, arrays: Arrays, sample: Named, metric: str) -> LabelsLoss | None:
        import torch

        if self._options.labels_weight == 0:
            return None
        found: LabelsLoss | str = "the training samples have no labels"
        if arrays.labels is not None:
            # All of them tell which classes there are; of maps and boxes the first tell as much.
            count = len(arrays) if arrays.labels.size == len(arrays) else 8
            some = torch.from_numpy(arrays.labels[:count].copy())
            classes = self._options.answers == "classes" or metric in CLASSIFYING
            found = losses.labels_loss(self._options.labels_loss, sample, some, classes=classes)
        if not isinstance(found, str):
            return found
        if self._teacher is None:
            raise UsageError(
                f"nothing can be learnt from labels alone: {found}", "Give labels_loss = 'module:function', or distil."
            )
        if arrays.labels is not None:
            self.notes.append(
                Note("skipped", "labels", f"left out: {found}; give labels_loss = 'module:function' to use them")
            )
        return None
