"""How good a student is: the metric's drop on the selection set, and its distance from the teacher elsewhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from edgewright.compiler.recovery.calls import call, floats, tensors_of
from edgewright.compiler.recovery.objective import Objective
from edgewright.compiler.recovery.result import Score
from edgewright.compiler.recovery.settings import Settings
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.core.tensors import Outputs

if TYPE_CHECKING:
    import torch

    from edgewright.compiler.recovery.losses import Named

_FEW = 3
_REMEMBERED_BYTES = 256 << 20
"""Of the teacher's answers; more are asked for again each time."""


class Judge:
    """Scores a student, in evaluation mode and float32."""

    def __init__(
        self,
        context: StageContext,
        arrays: Arrays,
        indices: Sequence[int],
        objective: Objective,
        settings: Settings,
    ) -> None:
        """Judges on the samples of ``arrays`` at ``indices``; by the metric where they are the selection set."""
        self._context, self._arrays, self._indices = context, arrays, list(indices)
        self._objective, self._settings = objective, settings
        self._answers: dict[int, Mapping[str, torch.Tensor]] = {}
        self._bytes = 0
        judged = arrays is context.select and not isinstance(context.drop, Absent)
        self._drop = context.drop if judged and not isinstance(context.drop, Absent) else None

    @property
    def subject(self) -> str:
        """Words for what scores are of."""
        count = len(self._indices)
        if self._drop is not None:
            return f"the drop of {self._context.metric} on {count} selection samples"
        return f"the loss on {count} samples that are not trained on"

    @property
    def worth(self) -> float:
        """What a few samples are worth in a metric that is a share of samples, which most are."""
        return _FEW / len(self._indices)

    def interval(self, per_epoch: int) -> int:
        """Every how many epochs of ``per_epoch`` samples judging costs no more than half of what training does."""
        return max(1, math.ceil(2 * len(self._indices) / (3 * per_epoch)))

    def score(self, student: torch.nn.Module) -> Score:
        """The student's score; it must be in evaluation mode."""
        import torch

        outputs: list[Outputs] = []
        rows = self._arrays.rows or 1
        total, batch, device = 0.0, self._settings.batch, torch.device(self._settings.device)
        with torch.no_grad():
            for start in range(0, len(self._indices), batch):
                indices = self._indices[start : start + batch]
                # A student that was exported for one size of batch takes no other.
                full = [*indices, *indices[-1:] * (batch - len(indices))]
                inputs = tensors_of(self._arrays.batch(full), self._context.inputs, device)
                answers = call(student, inputs, [spec.name for spec in self._context.outputs])
                answers = _front(answers, len(indices) * rows)
                total += self._distance(start, indices, inputs, answers) * len(indices)
                if self._drop is not None:
                    outputs += _apart(answers, len(indices), rows)
        loss = total / len(self._indices)
        finite = all(
            bool(np.isfinite(value).all()) for one in outputs for value in one.values() if value.dtype.kind == "f"
        )
        if not finite or not np.isfinite(loss):
            return Score(float("inf") if self._drop is not None else None, float("inf"))
        return Score(None if self._drop is None else self._drop(outputs), loss)

    def _distance(self, start: int, indices: Sequence[int], inputs: Sequence[torch.Tensor], answers: Named) -> float:
        if not self._objective.uses_teacher:
            labels = self._arrays.labels_of(indices)
            return 0.0 if labels is None else self._objective.labels_distance(answers, labels)
        wanted = self._answers.get(start)
        if wanted is None:
            wanted = _front(self._objective.reference(inputs), len(indices) * (self._arrays.rows or 1))
            self._bytes += sum(value.nbytes for value in wanted.values())
            if self._bytes < _REMEMBERED_BYTES:
                self._answers[start] = wanted
        return float(self._objective.judging(floats(answers), wanted))


def _front(answers: Named, rows: int) -> dict[str, torch.Tensor]:
    """The first ``rows`` of each; the others are of samples that only fill the batch."""
    return {name: value[:rows] if value.ndim else value for name, value in answers.items()}


def _apart(answers: Named, samples: int, rows: int) -> list[Outputs]:
    """The answers of one batch as those of its samples, each with a batch axis of its own."""
    arrays = {name: value.cpu().numpy() for name, value in answers.items()}
    return [
        {name: array[place * rows : (place + 1) * rows] for name, array in arrays.items()} for place in range(samples)
    ]
