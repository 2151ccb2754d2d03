"""Makes up for channels that are about to go: what they carried is predicted from those that stay, in closed form.

A layer that reads channels ``x`` computes ``W_kept x_kept + W_gone x_gone + b``. With the least-squares prediction
``x_gone = A x_kept + c`` over calibration data this becomes ``(W_kept + W_gone A) x_kept + (b + W_gone c)``, a layer
that never reads ``x_gone``. Where zeros are padded around the inputs, ``c`` is left out of the prediction: at the
border it would stand where there is nothing. (He, Zhang, Sun: Channel Pruning, ICCV 2017, regresses the same way.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgewright.compiler.pruning.slots import Plan

if TYPE_CHECKING:
    import torch
    from torch import nn

Removed: TypeAlias = Mapping[str, Sequence[int]]
"""Group -> units of it that go."""

MAX_CHANNELS = 4096
"""A layer that reads more (a linear layer behind a flattened image) is left as it is: its moments fill memory."""
_ROWS_PER_SAMPLE = 64
_RIDGE = 1e-6
_WORTH = 4
"""Independent rows that one sample is worth at most: places of one image are alike."""
_SCARCE = 3e-2
"""How much the ridge grows with the square of channels per row seen: few rows can be predicted by chance."""


@dataclass(frozen=True, eq=False)
class Moments:
    """What a layer's input channels are like over data, in float64."""

    second: torch.Tensor
    """Mean of ``x xᵀ``, of shape (C, C)."""
    mean: torch.Tensor
    """Shape (C,)."""
    rows: int
    """How many independent ones were seen, which is fewer than all."""


def consumers(plans: Mapping[str, Plan]) -> dict[str, dict[str, tuple[tuple[int, ...], ...]]]:
    """Layer -> group -> the layer's input channels that go with each of the group's units."""
    found: dict[str, dict[str, tuple[tuple[int, ...], ...]]] = {}
    for name, plan in plans.items():
        for slot in plan.slots:
            if slot.side == "in":
                found.setdefault(slot.path, {})[name] = tuple(unit.get(slot, ()) for unit in plan.units)
    return found


def collect(module: nn.Module, paths: Iterable[str], batches: Iterable[Sequence[torch.Tensor]]) -> dict[str, Moments]:
    """The moments of what the layers at ``paths`` read; layers that cannot be compensated are left out."""
    import torch

    sums: dict[str, tuple[torch.Tensor, torch.Tensor, int, int]] = {}

    def watch(path: str, layer: nn.Module) -> object:
        def hook(_layer: nn.Module, inputs: tuple[object, ...]) -> None:
            if not inputs or not isinstance(inputs[0], torch.Tensor):
                return
            rows = _rows(layer, inputs[0].detach())
            second, total, count, worth = sums.get(path, (torch.zeros(()), torch.zeros(()), 0, 0))
            worth += min(len(rows), _WORTH * len(inputs[0]))
            sums[path] = (second + rows.T @ rows, total + rows.sum(0), count + len(rows), worth)

        return layer.register_forward_pre_hook(hook)

    layers = {path: module.get_submodule(path) for path in paths}
    hooks = [watch(path, layer) for path, layer in layers.items() if _fits(layer)]
    try:
        with torch.no_grad():
            for batch in batches:
                module(*batch)
    finally:
        for one in hooks:
            one.remove()  # type: ignore[attr-defined]
    return {path: Moments(second / count, total / count, worth) for path, (second, total, count, worth) in sums.items()}


def compensate(
    module: nn.Module, plans: Mapping[str, Plan], removed: Removed, moments: Mapping[str, Moments]
) -> tuple[str, ...]:
    """Prepares ``module``, in place, for losing ``removed``: call it right before the cut.

    Returns:
        Paths of the layers that were changed.
    """
    changed = []
    for path, groups in consumers(plans).items():
        gone = sorted(
            {channel for name, units in groups.items() for one in removed.get(name, ()) for channel in units[one]}
        )
        if gone and path in moments:
            _fold(module.get_submodule(path), gone, moments[path])
            changed.append(path)
    return tuple(changed)


def _fits(layer: nn.Module) -> bool:
    from torch import nn

    if isinstance(layer, nn.Linear):
        return layer.in_features <= MAX_CHANNELS
    if isinstance(layer, nn.modules.conv._ConvNd):  # noqa: SLF001 - the only common base of convolutions
        return layer.groups == 1 and layer.in_channels <= MAX_CHANNELS
    return False


def _weight(layer: nn.Module) -> torch.Tensor:
    return layer.get_parameter("weight")


def _rows(layer: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """(rows, C) in float64: the input's channels at evenly spread places."""
    import torch
    from torch import nn

    if isinstance(layer, nn.Linear):
        rows = inputs.reshape(-1, inputs.shape[-1])
        limit = _ROWS_PER_SAMPLE * max(1, len(inputs))
    else:
        batched = inputs if inputs.dim() == _weight(layer).dim() else inputs[None]
        rows = batched.flatten(2).transpose(1, 2).reshape(-1, batched.shape[1])
        limit = _ROWS_PER_SAMPLE * len(batched)
    if len(rows) > limit:
        # Not a fixed stride: that would see the same columns of every image.
        rows = rows[torch.linspace(0, len(rows) - 1, limit, dtype=torch.float64).round().long()]
    return rows.double()


def _fold(layer: nn.Module, gone: Sequence[int], moments: Moments) -> None:
    import torch
    from torch import nn

    transposed = isinstance(layer, nn.modules.conv._ConvTransposeNd)  # noqa: SLF001 - the only common base
    shifts = _takes_constant(layer)
    count = len(moments.mean)
    away = torch.tensor(gone)
    kept = torch.tensor([channel for channel in range(count) if channel not in set(gone)])
    slopes, constant = _regress(moments, away, kept, centred=shifts)
    weight = _weight(layer).detach().double()
    weight = weight.transpose(0, 1) if transposed else weight.clone()  # (out, in, ...)
    lost = weight[:, away]
    weight[:, kept] += torch.einsum("or...,rk->ok...", lost, slopes)
    with torch.no_grad():
        _weight(layer).copy_(weight.transpose(0, 1) if transposed else weight)
    if shifts:
        shift = (lost.flatten(2).sum(2) if lost.dim() > 2 else lost) @ constant
        _add_bias(layer, shift)


def _regress(
    moments: Moments, away: torch.Tensor, kept: torch.Tensor, *, centred: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """``A`` of shape (gone, kept) and ``c`` of shape (gone,), so that ``x_gone`` is about ``A x_kept + c``."""
    import torch

    second = moments.second - torch.outer(moments.mean, moments.mean) if centred else moments.second
    own = second[kept][:, kept]
    scarcity = len(kept) / moments.rows
    ridge = float(own.diagonal().mean()) * (_RIDGE + _SCARCE * scarcity**2)
    # A channel that is always 0 makes the matrix singular without something on its diagonal.
    own = own + torch.eye(len(kept), dtype=own.dtype) * max(ridge, 1e-12)
    slopes = torch.linalg.solve(own, second[kept][:, away]).T
    return slopes, moments.mean[away] - slopes @ moments.mean[kept]


def _takes_constant(layer: nn.Module) -> bool:
    """Whether a constant in an input channel reaches every output alike."""
    from torch import nn

    if isinstance(layer, nn.Linear):
        return True
    if isinstance(layer, nn.modules.conv._ConvTransposeNd):  # noqa: SLF001 - the only common base
        # Else outputs differ in which, and how many, of the kernel's places reach them.
        return set(layer.kernel_size) == set(layer.stride) == {1} and not any(layer.padding)
    assert isinstance(layer, nn.modules.conv._ConvNd)  # noqa: SLF001 - the only common base
    if type(layer).__module__ != nn.Conv2d.__module__ and set(layer.kernel_size) != {1}:
        return False  # a forward of its own may pad by itself
    if layer.padding_mode != "zeros":
        return True
    if isinstance(layer.padding, str):
        return layer.padding == "valid" or set(layer.kernel_size) == {1}
    return not any(layer.padding)


def _add_bias(layer: nn.Module, shift: torch.Tensor) -> None:
    import torch

    bias, weight = getattr(layer, "bias", None), _weight(layer)
    assert bias is None or isinstance(bias, torch.Tensor)
    if bias is None:
        layer.bias = torch.nn.Parameter(shift.to(weight.dtype), requires_grad=weight.requires_grad)
    else:
        with torch.no_grad():
            bias += shift.to(weight.dtype)
