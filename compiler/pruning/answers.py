"""How far a changed module's answers are from what it answered before; and data as a module takes it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from edgewright.compiler.metric_kinds import CLASSIFYING
from edgewright.compiler.pruning.dependencies import tensors_in
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.core.tensors import TensorSpec

if TYPE_CHECKING:
    import torch

Answers: TypeAlias = "list[list[torch.Tensor]]"
"""By batch, by output."""
Error: TypeAlias = Callable[[Answers, Answers], float]
"""How far answers are from a reference, which stands first; 0 is the same."""
Batches: TypeAlias = "list[tuple[torch.Tensor, ...]]"
BATCH_ROWS = 32
_FLAT = 1e-6
"""A channel of the outputs whose variance is below this share of the average one's is weighed as if it had so much."""
_TINY, _SUMS_TO_ONE = 1e-9, 1e-3
_LOST = 4.0
"""Error at which a channel counts as lost, so that one alone does not hide all others."""


def batches_of(arrays: Arrays, inputs: Sequence[TensorSpec], samples: int, rows: int = BATCH_ROWS) -> Batches:
    """At most ``samples`` samples in batches of ``rows``, all of one size, each spread over all of ``arrays``.

    A model of a fixed batch size gets one sample, which has as many rows, at a time.
    """
    import torch

    count = min(samples, len(arrays))
    chosen = np.linspace(0, len(arrays) - 1, count).round().astype(int).tolist()
    size = 1 if arrays.rows else min(rows, count)
    batches: Batches = []
    number = count // size
    for place in range(number):  # neighbours are often alike, and a first batch may be all that is looked at
        feeds = arrays.batch(chosen[place : number * size : number])
        batches.append(tuple(torch.from_numpy(np.array(feeds[spec.name])) for spec in inputs))
    return batches


def answers_of(module: Callable[..., object], batches: Batches) -> list[list[torch.Tensor]]:
    """What ``module`` answers to each batch: its floating outputs."""
    import torch

    with torch.no_grad():
        return [[value for value in tensors_in(module(*batch)) if value.is_floating_point()] for batch in batches]


def output_error(reference: list[list[torch.Tensor]], answers: list[list[torch.Tensor]]) -> float:
    """Mean squared difference over variance, channel by channel, averaged over channels and outputs; 0 is the same.

    1 is what a model gets that answers the mean of each channel, whatever it is asked. An output's channels are its
    last axis, or the second one where it has four axes or more.
    """
    errors = []
    for place in range(len(reference[0]) if reference else 0):
        one, other = (_by_channel([batch[place] for batch in batches]) for batches in (reference, answers))
        spread = one.var(0, unbiased=False)
        floor = max(float(spread.mean()) * _FLAT, 1e-12)
        relative = (one - other).square().mean(0) / spread.clamp(min=floor)
        errors.append(float(relative.clamp(max=_LOST).mean()))
    return sum(errors) / len(errors) if errors else 0.0


def class_error(reference: list[list[torch.Tensor]], answers: list[list[torch.Tensor]]) -> float:
    """The mean Kullback-Leibler divergence from the reference's distributions over classes, in nats; 0 is the same.

    Of one output of scores or of probabilities, shape (N, classes). What a classifier answers is decided by few of its
    scores: an error over all of them hardly shows it.
    """
    import torch

    one, other = (torch.cat([batch[0] for batch in batches]).double() for batches in (reference, answers))
    if are_probabilities(one):
        one, other = one.clamp_min(_TINY).log(), other.clamp_min(_TINY).log()
    mine, theirs = one.log_softmax(-1), other.log_softmax(-1)
    divergence = float((mine.exp() * (mine - theirs)).sum(-1).mean())
    return float("inf") if math.isnan(divergence) else max(divergence, 0.0)


def are_probabilities(scores: torch.Tensor) -> bool:
    """Whether the last axis of ``scores`` holds a distribution already."""
    return bool((scores >= 0).all()) and bool((scores.sum(-1) - 1).abs().max() < _SUMS_TO_ONE)


def error_for(metric: str, answers: list[list[torch.Tensor]]) -> Error:
    """``class_error`` where ``metric`` says that ``answers`` are scores of classes, and they look like it."""
    first = answers[0] if answers else []
    fits = len(first) == 1 and first[0].dim() == 2 and first[0].shape[-1] > 1
    return class_error if fits and metric in CLASSIFYING else output_error


def _by_channel(values: list[torch.Tensor]) -> torch.Tensor:
    """(places, channels) in float64."""
    import torch

    rows = []
    for value in values:
        axis = 1 if value.dim() > 3 else max(value.dim() - 1, 0)
        moved = value.movedim(axis, -1) if value.dim() else value.reshape(1, 1)
        rows.append(moved.reshape(-1, moved.shape[-1]).double())
    return torch.cat(rows)
