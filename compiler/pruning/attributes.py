"""Integer attributes that a forward method computes with, and how they follow a cut: head counts and widths.

A reshape such as ``x.view(n, tokens, self.num_heads, self.head_dim)`` asks that whole heads go and that the count sinks
with them. Which attribute means what is read from its name and value, and is only a guess: each is tried.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.slots import Follow, Plan, Slot, Unit

if TYPE_CHECKING:
    from torch import nn


def alternatives(module: nn.Module, plan: Plan) -> Iterator[Plan]:
    """Other ways to cut what ``plan`` cuts, likelier ones first: whole heads, and widths kept in attributes."""
    owners = _owners(module, plan)
    width = len(plan.units)
    for path, owner in owners:
        for name, heads in _counts_of_heads(owner):
            if heads < 2 or width % heads:
                continue
            size = width // heads
            whole = _joined(plan.units, size)
            own = _with_parameters(whole, path, owner)
            count = Follow(path, name, 1)
            equal = [Follow(path, other, size) for other in _named(owner, width) if other != name]
            named = [follow for follow in equal if "head" in follow.name or "inner" in follow.name]
            for units in (own, whole) if own != whole else (whole,):
                for follows in dict.fromkeys(((count, *named), (count, *equal), (count,))):
                    yield Plan(units, follows, "heads")
    for path, owner in owners:
        equal = [Follow(path, name, 1) for name in _named(owner, width)]
        if equal:
            yield replace(plan, follows=tuple(equal))


def _owners(module: nn.Module, plan: Plan) -> list[tuple[str, nn.Module]]:
    """Modules that hold every layer whose outputs shrink, the innermost first."""
    paths = [slot.path.split(".")[:-1] for slot in plan.units[0] if slot.side != "in"]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return [
        (".".join(shared[:depth]), module.get_submodule(".".join(shared[:depth])))
        for depth in range(len(shared), -1, -1)
    ]


def _counts_of_heads(owner: nn.Module) -> Iterator[tuple[str, int]]:
    for name, value in _integers(owner):
        if "head" in name and not any(word in name for word in ("size", "dim", "width", "channel", "feature")):
            yield name, value


def _named(owner: nn.Module, value: int) -> list[str]:
    return [name for name, number in _integers(owner) if number == value]


def _integers(owner: nn.Module) -> Iterator[tuple[str, int]]:
    for name, value in vars(owner).items():
        if not name.startswith("_") and isinstance(value, int) and not isinstance(value, bool):
            yield name, value


def _joined(units: tuple[Unit, ...], size: int) -> tuple[Unit, ...]:
    """Units of ``size`` neighbours each."""
    joined = []
    for start in range(0, len(units), size):
        channels: dict[Slot, list[int]] = defaultdict(list)
        for unit in units[start : start + size]:
            for slot, own in unit.items():
                channels[slot].extend(own)
        joined.append({slot: tuple(sorted(own)) for slot, own in channels.items()})
    return tuple(joined)


def _with_parameters(units: tuple[Unit, ...], path: str, owner: nn.Module) -> tuple[Unit, ...]:
    """With what ``owner`` keeps for each head beside its layers: tables of biases, scales."""
    slots = []
    for name, parameter in owner.named_parameters(recurse=False):
        axes = [axis for axis, size in enumerate(parameter.shape) if size == len(units)]
        if axes:
            slots.append(Slot(f"{path}.{name}" if path else name, "parameter", axes[-1]))
    return tuple({**unit, **dict.fromkeys(slots, (place,))} for place, unit in enumerate(units))
