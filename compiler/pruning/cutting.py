"""Takes channels out of modules in place: tensors become smaller, and the integer attributes that state their sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.slots import CutError, Plan, Slot

if TYPE_CHECKING:
    import torch
    from torch import nn


def take_away(module: nn.Module, plans: Mapping[str, Plan], removed: Mapping[str, Iterable[int]]) -> None:
    """Cuts the units ``removed[group]`` of each group out of ``module``, in place.

    Every index counts the channels of ``module`` as it is given: all groups are cut in one step, so that none of them
    sees the numbering that another leaves behind.

    Raises:
        CutError: a layer of a kind that cannot be cut is among them.
    """
    gone: dict[Slot, set[int]] = {}
    for name, units in removed.items():
        chosen = sorted(set(units))
        for place in chosen:
            for slot, channels in plans[name].units[place].items():
                gone.setdefault(slot, set()).update(channels)
        for follow in plans[name].follows:
            owner = module.get_submodule(follow.path)
            setattr(owner, follow.name, getattr(owner, follow.name) - follow.per_unit * len(chosen))
    for slot, lost in gone.items():
        _shrink(module, slot, lost)


def channels_of(module: nn.Module, slot: Slot) -> int:
    """How many channels ``slot`` has.

    Raises:
        CutError: the layer is of a kind that cannot be cut.
    """
    import torch
    from torch import nn

    if slot.side == "parameter":
        parameter = module.get_parameter(slot.path)
        return int(parameter.shape[slot.axis])
    layer = module.get_submodule(slot.path)
    if isinstance(layer, nn.modules.conv._ConvNd):  # noqa: SLF001 - the only common base of convolutions
        return layer.in_channels if slot.side == "in" else layer.out_channels
    if isinstance(layer, nn.Linear):
        return layer.in_features if slot.side == "in" else layer.out_features
    if isinstance(layer, nn.modules.batchnorm._NormBase):  # noqa: SLF001 - batch and instance norms
        return layer.num_features
    if isinstance(layer, nn.GroupNorm):
        return layer.num_channels
    if isinstance(layer, nn.PReLU):
        return layer.num_parameters
    if isinstance(layer, torch.nn.LayerNorm):
        return layer.normalized_shape[-1]
    raise CutError(f"{type(layer).__name__} '{slot.path}' is of a kind whose channels cannot be cut")


def _shrink(module: nn.Module, slot: Slot, gone: set[int]) -> None:
    import torch
    from torch import nn

    count = channels_of(module, slot)
    kept = torch.tensor([channel for channel in range(count) if channel not in gone], dtype=torch.int64)
    if not len(kept):
        raise CutError(f"nothing would be left of '{slot.path}'")
    if slot.side == "parameter":
        path, _, name = slot.path.rpartition(".")
        _select(module.get_submodule(path), name, kept, slot.axis)
        return
    layer = module.get_submodule(slot.path)
    if isinstance(layer, nn.modules.conv._ConvNd):  # noqa: SLF001 - the only common base of convolutions
        _shrink_convolution(layer, slot, kept)
    elif isinstance(layer, nn.Linear):
        _select(layer, "weight", kept, 1 if slot.side == "in" else 0)
        if slot.side == "in":
            layer.in_features = len(kept)
        else:
            layer.out_features = len(kept)
            _select(layer, "bias", kept, 0)
    else:
        _shrink_norm(layer, kept, count)


def _shrink_convolution(layer: nn.modules.conv._ConvNd, slot: Slot, kept: torch.Tensor) -> None:
    """``weight`` is (out, in / groups, ...), transposed (in, out / groups, ...)."""
    if slot.side == "both":  # whole groups go: both counts of a group stay
        per_out, per_in = layer.out_channels // layer.groups, layer.in_channels // layer.groups
        groups = kept.reshape(-1, per_out)[:, 0] // per_out
        rows = kept if not layer.transposed else (groups[:, None] * per_in + _arange(per_in)).reshape(-1)
        _select(layer, "weight", rows, 0)
        layer.groups = len(groups)
        layer.in_channels, layer.out_channels = len(groups) * per_in, len(groups) * per_out
        _select(layer, "bias", kept, 0)
        return
    _select(layer, "weight", kept, int((slot.side == "in") != layer.transposed))
    if slot.side == "in":
        layer.in_channels = len(kept)
    else:
        layer.out_channels = len(kept)
        _select(layer, "bias", kept, 0)


def _shrink_norm(layer: nn.Module, kept: torch.Tensor, count: int) -> None:
    from torch import nn

    for name in ("weight", "bias", "running_mean", "running_var"):
        _select(layer, name, kept, 0)
    if isinstance(layer, nn.GroupNorm):  # whole groups go: what a group averages over stays
        layer.num_groups = len(kept) * layer.num_groups // count
        layer.num_channels = len(kept)
    elif isinstance(layer, nn.PReLU):
        layer.num_parameters = len(kept)
    elif isinstance(layer, nn.modules.batchnorm._NormBase):  # noqa: SLF001 - batch and instance norms
        layer.num_features = len(kept)
    else:
        raise CutError(f"{type(layer).__name__} is of a kind whose channels cannot be cut")


def _select(layer: nn.Module, name: str, kept: torch.Tensor, axis: int) -> None:
    """Replaces a parameter or buffer, where there is one, by its places ``kept`` along ``axis``."""
    import torch

    tensor = getattr(layer, name, None)
    if tensor is None:
        return
    smaller = tensor.detach().index_select(axis, kept.to(tensor.device)).contiguous()
    if isinstance(tensor, torch.nn.Parameter):
        setattr(layer, name, torch.nn.Parameter(smaller, requires_grad=tensor.requires_grad))
    else:
        setattr(layer, name, smaller)


def _arange(count: int) -> torch.Tensor:
    import torch

    return torch.arange(count)
