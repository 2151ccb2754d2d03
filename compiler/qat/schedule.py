"""When ranges stop moving and BatchNorm starts to use its running statistics, as hooks of the training loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.compiler.qat.options import QatOptions
from edgewright.compiler.qat.program import set_training
from edgewright.compiler.qat.quantizer import Prepared
from edgewright.compiler.recovery.result import Hooks

if TYPE_CHECKING:
    import torch


class Schedule:
    """The state of a prepared graph as a function of the step, so that a resumed run finds it again."""

    def __init__(self, prepared: Prepared, options: QatOptions) -> None:
        self._prepared, self._options = prepared, options
        # A teacher that answers the same every time is better followed without noise of one's own.
        self._dropout = options.loss == "own"
        self._ranges_move = options.ranges != "fixed"
        self._batch_norm = options.batchnorm_until > 0

    def hooks(self) -> Hooks:
        """For ``recovery.loop.train``."""
        return Hooks(set_training=self._set_training, on_step=self._on_step)

    def _set_training(self, student: torch.nn.Module, training: bool) -> None:
        del student  # the loop's student is the prepared graph itself
        graph = self._prepared.graph
        set_training(graph, dropout=training and self._dropout, batch_norm=training and self._batch_norm)
        for grid in self._prepared.grids.values():
            grid.adapting = training and self._ranges_move

    def _on_step(self, student: torch.nn.Module, step: int, steps: int) -> None:
        options = self._options
        ranges_move = options.ranges != "fixed" and step < options.observers_until * steps
        batch_norm = step < options.batchnorm_until * steps
        if (ranges_move, batch_norm) != (self._ranges_move, self._batch_norm) or step == 0:
            self._ranges_move, self._batch_norm = ranges_move, batch_norm
            self._set_training(student, training=True)
