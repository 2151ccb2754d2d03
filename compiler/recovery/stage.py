"""The stage ``distil``: what was lost, learnt again from the model it was lost of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgewright.compiler.pass_base import Note
from edgewright.compiler.pruning.answers import answers_of, batches_of, output_error
from edgewright.compiler.pruning.batchnorm import reestimate
from edgewright.compiler.recovery.calls import tensors_of
from edgewright.compiler.recovery.loop import train
from edgewright.compiler.recovery.options import DistilOptions
from edgewright.compiler.recovery.result import Hooks, TrainResult
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.compiler.torch_stage.request import StageResult
from edgewright.compiler.torch_stage.state import save_state
from edgewright.core.errors import UsageError

if TYPE_CHECKING:
    import torch

CHECKPOINT = "checkpoint.pt"
_FEW = 1000
_HELD = 128
"""Samples that two sets of statistics are compared on."""
_ROWS = 64
"""Of a batch that statistics are estimated on."""


def distil(context: StageContext) -> StageResult:
    """Trains the context's module after the original and leaves its state in the context's folder.

    Raises:
        UsageError: there is nothing to train on, or nothing to learn from.
        StoppedError: the context was stopping; a checkpoint is written.
    """
    options = context.options
    assert isinstance(options, DistilOptions)
    student, original = context.module, context.original()
    damaged = not same_state(student, original)
    arrays, kind = data_of(context)
    renewed = _renew_statistics(context, original, arrays, options.bn_samples) if damaged else 0
    hooks = Hooks() if options.move_statistics else Hooks(set_training=_all_but_statistics)
    result = train(
        student, original, arrays, options, context=context, checkpoint=context.folder / CHECKPOINT, hooks=hooks
    )
    notes = (_told(result, kind, renewed), *result.notes)
    changed = 1 if result.best_epoch or renewed else 0
    if changed:
        save_state(context.folder, student, context.original())
    parameters = list(student.parameters())
    return StageResult(
        changed=changed,
        notes=notes,
        parameters=sum(one.numel() for one in parameters),
        size_bytes=sum(one.nbytes for one in parameters),
        figures={"data": kind, "batchnorms_renewed": renewed, **result.figures()},
        timings=result.timings(),
    )


def data_of(context: StageContext) -> tuple[Arrays, str]:
    """What is trained on, ``training`` or ``calibration`` samples, and which of both.

    Raises:
        UsageError: there is neither.
    """
    if not isinstance(context.train, Absent):
        return context.train, "training"
    if not isinstance(context.calibration, Absent):
        return context.calibration, "calibration"
    raise UsageError(f"there is nothing to train on: {context.train.reason}", "Give --train-data or --data.")


def same_state(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """True where two modules hold the very same tensors."""
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(
        value.shape == theirs[name].shape and bool((value == theirs[name]).all()) for name, value in mine.items()
    )


def _renew_statistics(context: StageContext, original: torch.nn.Module, arrays: Arrays, most: int) -> int:
    """How many layers have new statistics: none where those they had are better on samples held back."""
    import torch

    count = min(most, len(arrays))
    if count < 2:
        return 0
    size = min(_ROWS, count)
    batches = (
        tensors_of(arrays.batch(range(start, start + size)), context.inputs, torch.device("cpu"))
        for start in range(0, count - size + 1, max(1, size))
    )
    held = next((one for one in (context.select, context.calibration) if not isinstance(one, Absent)), arrays)
    judged = batches_of(held, context.inputs, _HELD)
    wanted = answers_of(original.eval(), judged)
    before = {name: value.clone() for name, value in context.module.state_dict().items()}
    error = output_error(wanted, answers_of(context.module, judged))
    renewed = reestimate(context.module, batches)
    if output_error(wanted, answers_of(context.module, judged)) > error:
        context.module.load_state_dict(before)
        return 0
    return renewed


def _all_but_statistics(student: torch.nn.Module, training: bool) -> None:
    from torch import nn

    student.train(training)
    for one in student.modules():
        if isinstance(one, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 - the only common base
            one.eval()


def _told(result: TrainResult, kind: str, renewed: int) -> Note:
    few = result.samples < _FEW
    text = f"distilled on {result.samples} {kind} samples; {result.settings}"
    if few:
        text += "; more --train-data would recover more"
    if result.best_epoch:
        before, after = result.scores[0], result.best
        change = f"loss {before.loss:.3g} -> {after.loss:.3g}"
        if before.drop is not None and after.drop is not None:
            change = f"drop {before.drop:.4g} -> {after.drop:.4g}"
        text += f"; best after epoch {result.best_epoch}: {change} by {result.judged_on}"
    if renewed:
        text += f"; {renewed} BatchNorm layers with statistics of these samples"
    return Note("warning" if few else "did", "training", text)
