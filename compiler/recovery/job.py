"""What one training run is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgewright.compiler.recovery.options import TrainOptions
from edgewright.compiler.recovery.result import Hooks
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Job:
    """Who learns what from whom."""

    student: torch.nn.Module
    teacher: torch.nn.Module | None
    arrays: Arrays
    indices: Sequence[int]
    """Of the samples in ``arrays`` that are trained on."""
    options: TrainOptions
    context: StageContext
    hooks: Hooks
