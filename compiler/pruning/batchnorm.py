"""Batch normalisation's statistics, found again from data: after a cut, and after training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import nn


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


def _copied(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.clone()
