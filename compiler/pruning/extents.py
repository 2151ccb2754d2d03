"""How large a module is at any widths of its groups, and where its multiplications are: arithmetic, without cutting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from edgewright.compiler.pruning.slots import Plan, Slot

if TYPE_CHECKING:
    import torch
    from torch import nn

Widths: TypeAlias = Mapping[str, int]
"""Group -> units that are left; block -> 0 where it is left out, else 1."""


@dataclass(frozen=True)
class Extent:
    """One parameter's sizes, and how its axes shrink."""

    name: str
    shape: tuple[int, ...]
    axes: Mapping[int, Mapping[str, int]]
    """Axis -> group -> places that go with each of its units."""
    macs: int = 0
    """Multiply-accumulates of one row of a batch that this parameter takes part in, at full width."""


@dataclass(frozen=True)
class Extents:
    """All parameters of a module, and what its groups' channels amount to."""

    parameters: tuple[Extent, ...]
    units: Mapping[str, int]
    """Units of each group at full width."""
    elements: Mapping[str, int]
    """Group -> elements of one row that its layers write, at full width: what no multiplication counts."""
    blocks: tuple[str, ...] = ()
    """Paths of modules that may go as a whole: each is also among ``units``, as one."""

    def macs(self, widths: Widths) -> int:
        """Multiply-accumulates of one row at ``widths``; groups that are not named have their full width."""
        return sum(round(one.macs * self._share(one, widths)) for one in self.parameters if one.macs)

    def count(self, widths: Widths) -> int:
        """Elements of all parameters at ``widths``."""
        return sum(round(math.prod(one.shape) * self._share(one, widths)) for one in self.parameters)

    def _share(self, one: Extent, widths: Widths) -> float:
        if any(widths.get(block) == 0 and one.name.startswith(f"{block}.") for block in self.blocks):
            return 0.0
        share = 1.0
        for axis, groups in one.axes.items():
            gone = sum(per * (self.units[name] - widths.get(name, self.units[name])) for name, per in groups.items())
            share *= 1 - gone / one.shape[axis]
        return share


def read_extents(
    module: nn.Module,
    example_inputs: Sequence[torch.Tensor],
    plans: Mapping[str, Plan],
    rows: int,
    blocks: Sequence[str] = (),
) -> Extents:
    """The extents of ``module``, by one run of it.

    Args:
        rows: how many rows ``example_inputs`` have; counts are divided by it.
        blocks: paths of modules that may go as a whole.
    """
    macs, written = _count(module, example_inputs)
    axes: dict[str, dict[int, dict[str, int]]] = {}
    elements: dict[str, int] = {}
    for name, plan in plans.items():
        for slot, channels in plan.units[0].items():
            for parameter, axis in _axes_of(module, slot):
                axes.setdefault(parameter, {}).setdefault(axis, {})[name] = len(channels)
        elements[name] = sum(
            written.get(slot.path, 0) * len(channels) * len(plan.units) // max(1, _channels(module, slot))
            for slot, channels in plan.units[0].items()
            if slot.side in ("out", "both")
        )
    return Extents(
        tuple(
            Extent(name, tuple(value.shape), axes.get(name, {}), macs.get(name, 0) // rows)
            for name, value in module.named_parameters()
        ),
        {**{name: len(plan.units) for name, plan in plans.items()}, **dict.fromkeys(blocks, 1)},
        {name: count // rows for name, count in elements.items()},
        tuple(blocks),
    )


def _channels(module: nn.Module, slot: Slot) -> int:
    from edgewright.compiler.pruning.cutting import channels_of

    return channels_of(module, slot)


def _axes_of(module: nn.Module, slot: Slot) -> list[tuple[str, int]]:
    """The parameters and their axes that a slot is: see ``cutting``, which shrinks just these."""
    from torch import nn

    if slot.side == "parameter":
        return [(slot.path, slot.axis)]
    layer = module.get_submodule(slot.path)
    own = {name for name, value in layer.named_parameters(recurse=False) if value is not None}
    convolution = isinstance(layer, nn.modules.conv._ConvNd)  # noqa: SLF001 - the only common base of convolutions
    if not convolution and not isinstance(layer, nn.Linear):
        return [(f"{slot.path}.{name}", 0) for name in sorted(own)]
    transposed = convolution and layer.transposed
    axis = 0 if slot.side == "both" else int((slot.side == "in") != transposed)
    found = [(f"{slot.path}.weight", axis)]
    if "bias" in own and slot.side != "in":
        found.append((f"{slot.path}.bias", 0))
    return found


def _count(module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> tuple[dict[str, int], dict[str, int]]:
    """Multiply-accumulates by weight, and elements written by layer, of one run."""
    import torch
    from torch import nn

    macs: dict[str, int] = {}
    written: dict[str, int] = {}

    def watch(path: str, layer: nn.Module) -> object:
        def hook(_layer: nn.Module, inputs: tuple[object, ...], answer: object) -> None:
            if not isinstance(answer, torch.Tensor):
                return
            written[path] = written.get(path, 0) + answer.numel()
            weight = getattr(layer, "weight", None)
            if isinstance(layer, nn.Linear) and weight is not None:
                count = answer.numel() * weight.shape[1]
            elif isinstance(layer, nn.modules.conv._ConvNd) and weight is not None:  # noqa: SLF001 - as above
                # Each element that a transposed convolution reads meets all of its filters.
                first = inputs[0]
                over = first if layer.transposed and isinstance(first, torch.Tensor) else answer
                count = over.numel() * math.prod(weight.shape[1:])
            else:
                return
            name = f"{path}.weight".lstrip(".")
            macs[name] = macs.get(name, 0) + count

        return layer.register_forward_hook(hook)

    # A convolution that pads by a module of its own is no leaf.
    kinds = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 - the only common base of convolutions
    layers = [
        (path, layer)
        for path, layer in module.named_modules()
        if isinstance(layer, kinds) or not list(layer.children())
    ]
    hooks = [watch(path, layer) for path, layer in layers]
    try:
        with torch.no_grad():
            module(*example_inputs)
    finally:
        for one in hooks:
            one.remove()  # type: ignore[attr-defined]
    return macs, written
