"""What is chosen for a run where the user leaves it open. Nothing is timed: two runs choose the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.compiler.recovery.options import TrainOptions

if TYPE_CHECKING:
    import torch

_SAMPLES_SEEN = 600_000
"""How many samples a run walks through where neither the data's size nor the model's work set a limit."""
_MOST_EPOCHS = 200
_FEWEST_EPOCHS = 4
_FEWEST_SAMPLES = 500
"""Of an epoch, however much work a sample is."""
_WORK = 2e13
"""Multiplications of forward passes in one run on a CPU: about ten minutes on two cores (30 G/s a core were seen with
three multiplications' worth of work for each of the forward pass)."""
_ACCELERATED = 50
_SMALL = 100_000
"""Parameters of the networks that learning rates were tried on."""
_GROUPED = 3
"""Depthwise convolutions train at a third of the speed of dense ones, multiplication by multiplication."""


@dataclass(frozen=True)
class Settings:
    """All that a run needs to know."""

    epochs: int
    per_epoch: int
    """Samples of one epoch: all of them, or another random part each time where all would take too long."""
    batch: int
    learning_rate: float
    device: str
    bfloat16: bool
    """The student's passes run in bfloat16 where torch's autocast deems it safe."""
    teacher_bfloat16: bool
    channels_last: bool

    def describe(self, samples: int) -> str:
        """Words for the journal, of a run with so many samples."""
        part = f" of {self.per_epoch} samples" if self.per_epoch < samples else ""
        precision = "bfloat16" if self.bfloat16 else "float32"
        batches = f"in batches of {self.batch}"
        return f"{self.epochs} epochs{part} {batches}, learning rate {self.learning_rate:.3g}, {precision}"


def choose(
    options: TrainOptions,
    student: torch.nn.Module,
    inputs: Sequence[torch.Tensor],
    samples: int,
    teacher: torch.nn.Module | None = None,
) -> Settings:
    """The settings of a run.

    Convolutions run faster on channels-last tensors everywhere (1.15 to 1.35 times on an AVX-512 CPU, forward and
    back). Bfloat16 gives 1.5 to 1.9 times where the CPU multiplies it, but costs a third where convolutions are
    depthwise, so it depends on both.
    """
    import torch

    cuda = options.device == "cuda" or (options.device == "auto" and torch.cuda.is_available())
    work, grouped = work_of(student, inputs)
    fast = multiplies_bfloat16(cuda)
    wanted = options.precision == "bfloat16" or (options.precision == "auto" and fast and work > 0)
    batch = min(options.batch or _batch(samples), samples)
    # What is left of an exported program is functions, whose work is not counted: its teacher is as large.
    work = work if work or teacher is None else work_of(teacher, inputs)[0]
    effort = work * (_GROUPED if grouped else 1) / (_ACCELERATED if cuda else 1)
    epochs, per_epoch = (options.epochs, samples) if options.epochs else _epochs(samples, effort)
    return Settings(
        epochs=epochs,
        per_epoch=max(batch, min(samples, options.epoch_samples or per_epoch)),
        batch=batch,
        learning_rate=options.learning_rate or _learning_rate(options.optimizer, batch, student),
        device="cuda" if cuda else "cpu",
        bfloat16=wanted and (cuda or not grouped or options.precision == "bfloat16"),
        teacher_bfloat16=options.precision != "float32" and fast,
        channels_last=any(one.ndim == 4 for one in student.parameters()) and any(one.ndim == 4 for one in inputs),
    )


def settled(settings: Settings, modules: Sequence[torch.nn.Module], inputs: Sequence[torch.Tensor]) -> Settings:
    """``settings`` without what the ``modules`` cannot do: the channels-last layout (a ``view``), or bfloat16."""
    if settings.channels_last and not all(_runs(one, settings.device, inputs, last=True) for one in modules):
        settings = replace(settings, channels_last=False)
    if settings.bfloat16 and not _runs(modules[0], settings.device, inputs, half=True):
        settings = replace(settings, bfloat16=False)
    if settings.teacher_bfloat16 and not _runs(modules[-1], settings.device, inputs, half=True):
        settings = replace(settings, teacher_bfloat16=False)
    return settings


def _runs(
    module: torch.nn.Module, device: str, inputs: Sequence[torch.Tensor], *, last: bool = False, half: bool = False
) -> bool:
    import torch

    layout = torch.channels_last if last else torch.contiguous_format
    module.to(device)
    module.to(memory_format=layout)  # type: ignore[call-overload]
    fed = [one.to(device) for one in inputs]
    fed = [one.contiguous(memory_format=layout) if one.ndim == 4 else one for one in fed]
    try:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=half):
            module(*fed)
    except RuntimeError:
        return False
    finally:
        module.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    return True


def work_of(module: torch.nn.Module, inputs: Sequence[torch.Tensor]) -> tuple[float, bool]:
    """Multiplications per sample in convolutions and linear layers (0 if unknown), and whether some are grouped."""
    import torch
    from torch import nn

    layers = [one for one in module.modules() if isinstance(one, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear)]
    total = 0.0

    def count(layer: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        weight = layer.get_parameter("weight")
        total += weight[0].numel() * output.numel()

    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        with torch.no_grad():
            module(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    grouped = any(getattr(layer, "groups", 1) > 1 for layer in layers)
    return total / max(1, len(inputs[0]) if inputs[0].ndim else 1), grouped


def multiplies_bfloat16(cuda: bool) -> bool:
    """Whether the device has instructions for it."""
    import torch

    if cuda:
        return bool(torch.cuda.is_bf16_supported())
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def _epochs(samples: int, work: float) -> tuple[int, int]:
    """How many, and of how many samples each."""
    seen = min(_SAMPLES_SEEN, _WORK / work if work else math.inf)
    epochs = max(_FEWEST_EPOCHS, min(_MOST_EPOCHS, round(seen / samples)))
    return epochs, min(samples, max(_FEWEST_SAMPLES, round(seen / epochs)))


def _batch(samples: int) -> int:
    for least, batch in ((20_000, 128), (4_000, 64), (500, 32)):
        if samples >= least:
            return batch
    return 16


def _learning_rate(optimizer: str, batch: int, student: torch.nn.Module) -> float:
    """Rates that held up on small networks: larger ones bear less (for Adam), those without BatchNorm a fifth."""
    import torch

    if optimizer == "adamw":
        size = max(_SMALL, sum(one.numel() for one in student.parameters()))
        highest = 3e-3 * math.sqrt(batch / 64) * math.sqrt(math.sqrt(_SMALL / size))
    else:
        highest = 0.05 * batch / 64
    normalised = any(isinstance(one, torch.nn.modules.batchnorm._BatchNorm) for one in student.modules())  # noqa: SLF001 - the base of all BatchNorms
    return highest if normalised else highest / 5
