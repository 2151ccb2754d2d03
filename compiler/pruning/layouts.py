"""Other orders in which a flattened image may reach a linear layer: by channel, or by place with channels innermost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.slots import Plan, Slot

if TYPE_CHECKING:
    from torch import nn


def layouts(module: nn.Module, plan: Plan) -> Iterator[Plan]:
    """``plan`` with the inputs of linear layers that read several places of each channel laid out otherwise.

    The tracer follows a flatten of an image, and no transpose in front of it; each order here is a guess to be tried.
    """
    width = len(plan.units)
    places = {slot: count for slot in plan.slots if (count := _places(module, slot, width)) > 1}
    if not places or plan.kind != "channels" or any(len(unit) != len(plan.units[0]) for unit in plan.units):
        return
    for outer in (True, False):
        units = []
        for channel, unit in enumerate(plan.units):
            laid = {
                slot: tuple(channel * count + place if outer else channel + place * width for place in range(count))
                for slot, count in places.items()
            }
            units.append({**unit, **laid})
        if tuple(units) != plan.units:
            yield replace(plan, units=tuple(units))


def _places(module: nn.Module, slot: Slot, width: int) -> int:
    from torch import nn

    layer = module.get_submodule(slot.path) if slot.side == "in" else None
    if not isinstance(layer, nn.Linear) or layer.in_features % width:
        return 1
    return layer.in_features // width
