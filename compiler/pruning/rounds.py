"""One round of pruning: from the widths a module has to narrower ones, made up for, with fresh statistics."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from edgewright.compiler.pruning.allocate import Curve, allowed_widths
from edgewright.compiler.pruning.answers import Batches, Error, answers_of, output_error
from edgewright.compiler.pruning.batchnorm import realign
from edgewright.compiler.pruning.blocks import Block, block_damage, without
from edgewright.compiler.pruning.compensate import MAX_CHANNELS, Moments, collect, consumers
from edgewright.compiler.pruning.cutting import channels_of
from edgewright.compiler.pruning.importance import Method, scores, without_batch_norm
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.pruning.sensitivity import Order, damages, narrowed, order_of, points
from edgewright.compiler.pruning.slots import Slot
from edgewright.compiler.pruning.structure import Structure, find_structure, widths

if TYPE_CHECKING:
    import torch
    from torch import nn

_SENSITIVITY_MACS = 1e12
"""Multiply-accumulates that measuring damage may take in one round: some 40 s on one core. A fifth of it left eight
crops to say what each width of EfficientNet-Lite0 does."""
_FEWEST_ROWS = 8


@dataclass(frozen=True, eq=False)
class Recipe:
    """What every round is done with."""

    example_inputs: tuple[torch.Tensor, ...]
    batches: Batches
    """What units are ordered by, and what is made up for from."""
    judged: Batches
    """Others, which damage is measured on: with many channels and few samples anything can be made up for by chance."""
    keep: tuple[str, ...]
    multiple: int
    options: PruneOptions
    error: Error = output_error
    """What damage is."""


@dataclass(frozen=True, eq=False)
class Narrowing:
    """A module that is being made narrower, and what is known of it."""

    module: nn.Module
    structure: Structure
    order: Order
    """Units by rising importance."""
    moments: Mapping[str, Moments] | None
    damage: Mapping[str, tuple[tuple[int, ...], tuple[float, ...]]] = field(default_factory=dict)
    """Group -> (widths, error at each), where it has been measured."""
    cuts: dict[tuple[tuple[str, int], ...], nn.Module] = field(default_factory=dict)
    """The last one that was made: in the last rounds what is weighed against leaving out a block is done next."""

    @property
    def widths(self) -> dict[str, int]:
        """Units that each group has now."""
        return {group.name: group.units for group in self.structure.groups}

    def cut(self, targets: Mapping[str, int], *, made_up: bool = True) -> nn.Module:
        """A copy with the groups of ``targets`` at these widths."""
        return narrowed(self.module, self.structure, self.removed(targets), self.moments if made_up else None)

    def removed(self, targets: Mapping[str, int]) -> dict[str, Sequence[int]]:
        """Group -> its units that go at the widths ``targets``."""
        now = self.widths
        return {name: self.order[name][: now[name] - width] for name, width in targets.items() if width < now[name]}

    def kept_channels(self, targets: Mapping[str, int]) -> dict[str, list[int]]:
        """Layer that keeps its channels apart (a norm) -> those it has left at the widths ``targets``."""
        gone: dict[Slot, set[int]] = {}
        for name, units in self.removed(targets).items():
            for unit in units:
                for slot, channels in self.structure.plans[name].units[unit].items():
                    if slot.side == "both":
                        gone.setdefault(slot, set()).update(channels)
        return {
            slot.path: [place for place in range(channels_of(self.module, slot)) if place not in away]
            for slot, away in gone.items()
        }


def begin(module: nn.Module, recipe: Recipe, structure: Structure | None = None) -> Narrowing:
    """Looks at ``module``: what can be cut, in which order, and what its layers read."""
    if recipe.options.cuts == "blocks" and not recipe.options.widths:
        return Narrowing(module, Structure((), ()), {}, None)
    found = structure or find_structure(module, recipe.example_inputs, keep=recipe.keep, multiple=recipe.multiple)
    importance = cast("Method", recipe.options.importance)
    order = order_of(scores(module, recipe.example_inputs, found, recipe.batches, importance))
    moments = None
    if recipe.options.compensate:
        plans = {group.name: found.plans[group.name] for group in found.groups}
        moments = collect(module, consumers(plans), recipe.batches)
    return Narrowing(module, found, order, moments)


def left_out(state: Narrowing, options: PruneOptions) -> list[tuple[str, str]]:
    """(module path, reason) for what cannot be done to ``state`` as the options ask for it."""
    found = []
    if state.moments is not None:
        plans = {group.name: state.structure.plans[group.name] for group in state.structure.groups}
        reason = f"not made up for: it reads more than {MAX_CHANNELS} channels, or keeps groups of them apart"
        found += [(path, reason) for path in consumers(plans) if path not in state.moments]
    if options.importance == "bn":
        found += without_batch_norm(state.module, state.structure)
    return found


def next_round(state: Narrowing, targets: Mapping[str, int], recipe: Recipe) -> Narrowing:
    """``state`` with its groups at the widths ``targets``; what damage is known of untouched groups is kept."""
    module = _realigned(_cut(state, targets, recipe), state, state.kept_channels(targets), recipe)
    after = begin(module, recipe)
    same = {name: known for name, known in state.damage.items() if targets.get(name) == state.widths.get(name)}
    return Narrowing(after.module, after.structure, after.order, after.moments, same)


def without_block(state: Narrowing, block: Block, recipe: Recipe) -> Narrowing:
    """``state`` without ``block``; what damage is known of groups that are left is kept."""
    module = _realigned(without(state.module, block), state, {}, recipe)
    after = begin(module, recipe)
    left = after.widths
    same = {name: known for name, known in state.damage.items() if left.get(name) == state.widths.get(name)}
    return Narrowing(after.module, after.structure, after.order, after.moments, same)


def damage_of_blocks(state: Narrowing, blocks: Sequence[Block], recipe: Recipe, macs: int) -> dict[str, float]:
    """By path, what leaving out each of ``blocks`` alone does to the answers of ``state``; see ``block_damage``.

    Args:
        macs: as of :func:`with_damage`.
    """
    return block_damage(state.module, blocks, _affordable(recipe, len(blocks), macs), recipe.error)


def damage_of_widths(state: Narrowing, targets: Mapping[str, int], recipe: Recipe, macs: int) -> float:
    """What cutting to all of ``targets`` at once does to the answers, which is mostly more than the sum over groups.

    Args:
        macs: as of :func:`with_damage`.
    """
    batches = _affordable(recipe, 1, macs)
    return recipe.error(answers_of(state.module, batches), answers_of(_cut(state, targets, recipe), batches))


def steps_of(state: Narrowing, units: Mapping[str, int], recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Group -> widths it may take from now on, falling, the present one first.

    Args:
        units: of each group before anything was cut.
    """
    return {
        group.name: allowed_widths(widths(group, recipe.multiple), group.units, units[group.name], recipe.options.floor)
        for group in state.structure.groups
        if group.name in units
    }


def with_damage(
    state: Narrowing,
    steps: Mapping[str, Sequence[int]],
    recipe: Recipe,
    macs: int,
    progress: Callable[[float, str], None] = lambda _done, _text: None,
) -> Narrowing:
    """``state`` with the damage of every group in ``steps``; what is known already is not measured again.

    Args:
        macs: multiply-accumulates of one row of the module as it is; decides how much data can be looked at.
    """
    missing = {name: tuple(one) for name, one in steps.items() if name not in state.damage}
    runs = sum(len(points(one)) for one in missing.values())
    if not runs:
        found: dict[str, tuple[float, ...]] = dict.fromkeys(missing, (0.0,))
    else:
        batches = _affordable(recipe, runs, macs)
        found = damages(
            state.module,
            state.structure,
            state.order,
            widths=missing,
            batches=batches,
            moments=state.moments,
            error=recipe.error,
            progress=progress,
        )
    measured = {name: (missing[name], damage) for name, damage in found.items()}
    return replace(state, damage={**state.damage, **measured})


def curves_of(
    state: Narrowing, steps: Mapping[str, Sequence[int]], barred: Mapping[str, frozenset[int]]
) -> list[Curve]:
    """What may be narrowed, for ``allocate``, in the module's order."""
    found = []
    for name, allowed in steps.items():
        known, damage = state.damage[name]
        at = np.interp([-width for width in allowed], [-width for width in known], damage)
        found.append(Curve(name, tuple(allowed), tuple(at.tolist()), barred.get(name, frozenset())))
    return found


def _cut(state: Narrowing, targets: Mapping[str, int], recipe: Recipe) -> nn.Module:
    """The module at the widths ``targets``, made up for where it answers better so; not to be changed."""
    key = tuple(sorted(targets.items()))
    if key not in state.cuts:
        made = _cut_anew(state, targets, recipe)
        state.cuts.clear()
        state.cuts[key] = made
    return state.cuts[key]


def _cut_anew(state: Narrowing, targets: Mapping[str, int], recipe: Recipe) -> nn.Module:
    if state.moments is None:
        return state.cut(targets)
    wanted = answers_of(state.module, recipe.judged)
    made_up, plain = state.cut(targets), state.cut(targets, made_up=False)
    with_it, without_it = (recipe.error(wanted, answers_of(one, recipe.judged)) for one in (made_up, plain))
    return made_up if with_it <= without_it else plain


def _realigned(module: nn.Module, state: Narrowing, kept: Mapping[str, Sequence[int]], recipe: Recipe) -> nn.Module:
    """``module``, which was made from that of ``state``, with new statistics where it answers better with them."""
    aligned = copy.deepcopy(module)
    if not realign(aligned, state.module, kept, recipe.batches):
        return module
    wanted = answers_of(state.module, recipe.judged)
    with_new, with_old = (recipe.error(wanted, answers_of(one, recipe.judged)) for one in (aligned, module))
    return aligned if with_new < with_old else module


def _affordable(recipe: Recipe, runs: int, macs: int) -> Batches:
    return _first_rows(recipe.judged, max(_FEWEST_ROWS, int(_SENSITIVITY_MACS / (max(runs, 1) * max(macs, 1)))))


def _first_rows(batches: Batches, rows: int) -> Batches:
    """As many whole batches as have about ``rows`` rows; of the first one only a part where that is enough."""
    size = len(batches[0][0])
    if rows < size:
        return [tuple(tensor[:rows] for tensor in batches[0])]
    return batches[: rows // size]
