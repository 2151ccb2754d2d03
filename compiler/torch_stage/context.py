"""What a stage sees of the world, inside its child process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.compiler.site import Absent, Goal
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Outputs, TensorSpec
from edgewright.targets.schema import Target

if TYPE_CHECKING:
    import torch

    from edgewright.compiler.torch_stage.arrays import Arrays


@dataclass(frozen=True)
class Progress:
    """One word of how far a stage is."""

    done: float
    """Share of the stage that is behind, 0 to 1."""
    text: str
    """What a person wants to know now: epoch, loss, metric."""
    lasting: bool = False
    """Worth a line that stays where nothing shows a bar: once an epoch, not once a step."""


@dataclass(frozen=True)
class StageContext:
    """All a stage may know.

    ``module`` is in evaluation mode, on the CPU, and belongs to the stage. ``fresh`` makes another one of the same.
    """

    module: torch.nn.Module
    example_inputs: tuple[torch.Tensor, ...]
    """Positional inputs of ``forward``, with a batch of 2 where the first axis is the batch's."""
    fresh: Callable[[], torch.nn.Module]
    """The module as this stage was given it."""
    original: Callable[[], torch.nn.Module]
    """The module as the user's source makes it, before any stage: the teacher."""
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    options: object
    """The pass's options dataclass."""
    target: Target
    goal: Goal
    max_drop: float
    keep: tuple[str, ...]
    seed: int
    threads: int
    resume: bool
    folder: Path
    """For checkpoints, and for the state that the stage leaves (``state.save_state``)."""
    calibration: Arrays | Absent
    train: Arrays | Absent
    select: Arrays | Absent
    metric: str
    measure: Callable[[Sequence[OnnxModel]], list[Mapping[str, float]]] | Absent
    """See ``site.Measure``; the first model of a call may be any."""
    drop: Callable[[Sequence[Outputs]], float] | Absent
    """The metric's drop of answers to ``select``, in its order."""
    export: Callable[[torch.nn.Module], OnnxModel]
    """The module as ONNX, as the compile will see it; takes seconds."""
    progress: Callable[[Progress], None]
    log: Callable[[str], None]
    stopping: Callable[[], bool]
    """True once SIGTERM came: the stage saves a checkpoint and raises ``Stopped``."""
    extra: Mapping[str, Path]


class StoppedError(Exception):
    """The stage was asked to end and has saved what it needs to go on later."""
