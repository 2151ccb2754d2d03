"""Batch normalisation's statistics, found again from data: after a cut, and after training."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn

_FLAT = 1e-6
"""Share of the trained variance below which a channel's variance on the data is none."""


def reestimate(module: nn.Module, batches: Iterable[Sequence[torch.Tensor]]) -> int:
    """Replaces the running statistics of ``module`` by their average over ``batches``, in place.

    Everything else stays as in evaluation mode, dropout included. Batches should have many rows, of one number.

    Returns:
        How many layers have new statistics; 0 where there are none, or no batch.
    """
    import torch
    from torch import nn

    layers = [
        layer
        for layer in module.modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - the only common base
        and layer.track_running_stats
        and layer.running_mean is not None
        and layer.running_var is not None
    ]
    if not layers:
        return 0
    before = {id(layer): layer.momentum for layer in layers}
    # Shared modules are listed once by modules(); a layer nobody calls must keep what it knows.
    kept = {id(layer): [_copied(layer.running_mean), _copied(layer.running_var)] for layer in layers}
    counts = {id(layer): _copied(layer.num_batches_tracked) for layer in layers}
    modes = [(one, one.training) for one in module.modules()]
    module.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for a cumulative average
        layer.train()
    try:
        with torch.no_grad():
            for batch in batches:
                module(*batch)
    finally:
        for layer in layers:
            layer.momentum = before[id(layer)]
        for one, mode in modes:
            one.training = mode
    renewed = 0
    for layer in layers:
        if layer.num_batches_tracked is not None and int(layer.num_batches_tracked) > 0:
            renewed += 1
        else:
            layer.running_mean, layer.running_var = kept[id(layer)]
        layer.num_batches_tracked = counts[id(layer)]
    return renewed


def realign(
    module: nn.Module,
    before: nn.Module,
    kept: Mapping[str, Sequence[int]],
    batches: Sequence[Sequence[torch.Tensor]],
) -> int:
    """Moves the running statistics of ``module``, in place, as far as the cut that made it moved those of ``batches``.

    Where the data is like what ``before`` was trained on, this is what :func:`reestimate` does. Where it is little, or
    of another kind, statistics of the data alone would undo what training knew; here only the difference between the
    two modules counts, both seen on the same data, and a module that was not cut keeps what it has.

    Args:
        kept: by path of a batch norm, the channels of ``before`` that ``module`` has; all where it is not named.

    Returns:
        How many layers have new statistics.
    """
    import torch

    reference = copy.deepcopy(before)
    reestimate(reference, batches)
    renewed = reestimate(module, batches)
    if not renewed:
        return 0
    for path, layer in module.named_modules():
        if not isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) or layer.running_mean is None:  # noqa: SLF001
            continue
        old, seen = before.get_submodule(path), reference.get_submodule(path)
        places = torch.tensor(kept[path]) if path in kept else torch.arange(len(layer.running_mean))
        mean, variance = old.get_buffer("running_mean")[places], old.get_buffer("running_var")[places]
        seen_mean, seen_variance = seen.get_buffer("running_mean")[places], seen.get_buffer("running_var")[places]
        own_mean, own_variance = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
        # Taken for y = scale * x + shift; a channel that is flat on the data says nothing of a scale.
        flat = seen_variance < _FLAT * variance
        scale = torch.where(flat, 1.0, (own_variance / seen_variance.clamp(min=1e-30)).sqrt())
        layer.running_mean = scale * mean + (own_mean - scale * seen_mean)
        layer.running_var = torch.where(flat, variance + own_variance, variance * scale.square())
    return renewed


def _copied(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.clone()
