"""How far a student's answers are from its teacher's, and from labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from edgewright.compiler.metric_kinds import CLASSIFYING
from edgewright.compiler.pruning.answers import are_probabilities
from edgewright.compiler.recovery.calls import floats
from edgewright.core.errors import UsageError
from edgewright.core.user_code import blaming_user, load_function

if TYPE_CHECKING:
    import torch

Named: TypeAlias = "Mapping[str, torch.Tensor]"
Loss: TypeAlias = Callable[[Named, Named], "torch.Tensor"]
LabelsLoss: TypeAlias = Callable[[Named, "torch.Tensor"], "torch.Tensor"]

_TINY = 1e-6


def soft_classes(temperature: float, name: str, probabilities: bool) -> Loss:
    """The loss of Hinton et al., Distilling the Knowledge in a Neural Network (2015), over the last axis of one output.

    The Kullback-Leibler divergence of the softened distributions, times the temperature squared so that gradients keep
    their size.

    Args:
        name: the output that has scores.
        probabilities: they are a softmax already; its logarithm is as good as the scores.
    """
    from torch.nn import functional

    def loss(student: Named, teacher: Named) -> torch.Tensor:
        mine, theirs = student[name], teacher[name]
        if probabilities:
            mine, theirs = mine.clamp_min(_TINY).log(), theirs.clamp_min(_TINY).log()
        ours = functional.log_softmax(mine.flatten(0, -2) / temperature, dim=-1)
        wanted = functional.log_softmax(theirs.flatten(0, -2) / temperature, dim=-1)
        return functional.kl_div(ours, wanted, reduction="batchmean", log_target=True) * temperature**2

    return loss


def relative_error(student: Named, teacher: Named) -> torch.Tensor:
    """The mean over outputs of the squared error, each divided by the mean square of the teacher's answers."""
    import torch

    pairs = [(student[name], wanted) for name, wanted in floats(teacher).items()]
    terms = [(mine - wanted).square().mean() / wanted.square().mean().clamp_min(_TINY) for mine, wanted in pairs]
    return torch.stack(terms).mean()


def output_loss(answers: str, temperature: float, metric: str, sample: Named) -> tuple[Loss, str]:
    """The loss of outputs such as ``sample``, a teacher's, and words for it.

    Args:
        answers: as ``TrainOptions.answers``.
        metric: what the selection set is judged by.

    Raises:
        UsageError: there is nothing to follow, or ``classes`` was asked for outputs that are not.
    """
    found = floats(sample)
    if not found:
        raise UsageError("the model has no output of floating point numbers to distil", "Leave this pass out.")
    name, first = next(iter(found.items()))
    fits = len(found) == 1 and first.ndim >= 2 and first.shape[-1] > 1
    if answers == "classes" and not fits:
        shapes = ", ".join(f"'{key:.40}' {tuple(value.shape)}" for key, value in found.items())
        raise UsageError(f"outputs {shapes} are no scores of classes", "Set answers = 'values'.")
    if answers == "values" or not fits or (answers == "auto" and metric not in CLASSIFYING):
        return relative_error, "relative squared error"
    return soft_classes(temperature, name, are_probabilities(first)), f"soft classes at temperature {temperature:g}"


def labels_loss(reference: str, sample: Named, labels: torch.Tensor, *, classes: bool) -> LabelsLoss | str:
    """The loss against labels such as ``labels``, or why none is known.

    Args:
        reference: the user's ``module:function``; empty for cross entropy where it fits.
        classes: the metric takes the outputs for scores of classes.
    """
    import torch
    from torch.nn import functional

    if reference:
        return _own(reference)
    if not classes:
        return "the metric does not say that outputs are scores of classes"
    found = floats(sample)
    if len(found) != 1 or next(iter(found.values())).ndim != 2:
        return "cross entropy takes one output of shape (N, classes)"
    if labels.is_floating_point() or labels.dtype is torch.bool or labels.numel() != len(labels):
        return "cross entropy takes one whole number per sample"
    name, first = next(iter(found.items()))
    if int(labels.min()) < 0 or int(labels.max()) >= first.shape[1]:
        return f"labels from {int(labels.min())} to {int(labels.max())} do not fit {first.shape[1]} classes"

    probabilities = are_probabilities(first)

    def cross_entropy(outputs: Named, wanted: torch.Tensor) -> torch.Tensor:
        scores = outputs[name].clamp_min(_TINY).log() if probabilities else outputs[name]
        return functional.cross_entropy(scores, wanted.reshape(-1).long())

    return cross_entropy


def _own(reference: str) -> LabelsLoss:
    import torch

    function = load_function(reference, "labels_loss")

    def loss(outputs: Named, labels: torch.Tensor) -> torch.Tensor:
        with blaming_user(f"calling the labels' loss {reference}"):
            value = function(dict(outputs), labels)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise UsageError(
                f"the labels' loss {reference} gave {type(value).__name__}", "It must give a tensor of one number."
            )
        return value.reshape(())

    return loss
