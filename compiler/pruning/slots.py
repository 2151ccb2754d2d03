"""Where channels live: one axis of one module's tensors, and which of its places go together with others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

Side: TypeAlias = Literal["out", "in", "both", "parameter", "tie"]


class Slot(NamedTuple):
    """One axis that channels are counted along."""

    path: str
    """Of the module; of the parameter itself where ``side`` is "parameter"."""
    side: Side
    """``both`` is a layer that keeps channels apart (norms, depthwise convolutions): its inputs are its outputs.
    A ``tie`` is no place of a module: it holds channels together while they are traced."""
    axis: int = 0
    """Of a parameter; without meaning elsewhere."""


Kind: TypeAlias = Literal["channels", "heads", "groups"]
Unit: TypeAlias = Mapping[Slot, tuple[int, ...]]
"""What goes when one unit goes: slot -> channels of it, ascending."""


@dataclass(frozen=True)
class Follow:
    """An integer attribute of a module that counts what is cut: it sinks by ``per_unit`` with every unit."""

    path: str
    name: str
    per_unit: int


@dataclass(frozen=True)
class Plan:
    """How a group is cut: its units in order, and the attributes that follow."""

    units: tuple[Unit, ...]
    follows: tuple[Follow, ...] = ()
    kind: Kind = "channels"

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every slot that loses channels, in order of its first appearance."""
        return tuple(dict.fromkeys(slot for unit in self.units for slot in unit))


class CutError(Exception):
    """Something cannot be cut; the text names the operator in the way and goes into ``Structure.refused``."""
