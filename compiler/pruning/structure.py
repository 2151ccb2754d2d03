"""What of a torch module can be cut: groups of channels, heads and convolution groups, and the module without them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import gcd
from types import MappingProxyType
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.slots import CutError, Kind, Plan

if TYPE_CHECKING:
    import torch
    from torch import nn

    from edgewright.compiler.pruning.tracing import Bundle


@dataclass(frozen=True)
class Group:
    """Channels of several layers that only go together, unit by unit."""

    name: str
    """Path of the module whose outputs lead it, "layer1.0.conv1"."""
    units: int
    """How many can be cut one by one: channels, heads, or groups of a grouped convolution."""
    unit_channels: int
    """Channels that go with one unit, in the layer that loses the fewest."""
    members: tuple[str, ...]
    """Paths of the modules that give or pass these channels: their outputs shrink."""
    consumers: tuple[str, ...]
    """Paths of the Conv, ConvTranspose and Linear modules that read them: their inputs shrink. In module order."""
    kind: Kind


@dataclass(frozen=True)
class Structure:
    """The groups of one module, and what of it is left whole and why. It holds for exact copies of that module."""

    groups: tuple[Group, ...]
    refused: tuple[tuple[str, str], ...]
    """(module path, reason that names the operator in the way)."""
    plans: Mapping[str, Plan] = field(default_factory=lambda: MappingProxyType({}), repr=False, compare=False)
    """By the name of the group: the channels of each unit."""


def find_structure(
    module: nn.Module, example_inputs: Sequence[torch.Tensor], *, keep: Sequence[str] = (), multiple: int = 1
) -> Structure:
    """What can be cut of ``module``; each group was tried: cut on a copy, run, and compared with the original, masked.

    Args:
        module: stays as it is.
        example_inputs: positional inputs of ``forward``, with a batch of 2 where the first axis is the batch's.
        keep: glob patterns of module paths that must not lose outputs; one that matches a module holds all inside it.
        multiple: widths are rounded to it (see :func:`widths`); a group that it leaves no choice is refused.
    """
    from edgewright.compiler.pruning.proof import proven
    from edgewright.compiler.pruning.refusals import entangled, left_whole, out_of_sight
    from edgewright.compiler.pruning.tracing import trace
    from edgewright.compiler.pruning.trial import Trial

    refused = list(left_whole(module))
    try:
        bundles = trace(module, example_inputs)
        trial = Trial(module, example_inputs)
    except CutError as error:
        return Structure((), (("", str(error)),))
    wanted: dict[str, Bundle] = {}
    for bundle in bundles:
        reason = bundle.blocked or entangled(module, bundle) or _reason_to_keep(bundle, keep)
        if reason is None and len(bundle.units) < 2:
            reason = "all of its channels depend on each other"
        if reason is None:
            wanted[_free_name(bundle.leader.path, wanted)] = bundle
        else:
            refused.append((bundle.leader.path, reason))
    plans = {name: Plan(bundle.units) for name, bundle in wanted.items()}
    good, bad = proven(module, plans, trial)
    groups = []
    for name, plan in good.items():
        group = _group(module, name, plan)
        if len(widths(group, multiple)) > 1:
            groups.append(group)
        else:
            refused.append((name, f"its {group.units * group.unit_channels} channels leave no multiple of {multiple}"))
    refused += bad.items()
    refused += out_of_sight(module, bundles)
    return Structure(tuple(groups), tuple(dict.fromkeys(refused)), MappingProxyType(good))


def cut(
    module: nn.Module,
    example_inputs: Sequence[torch.Tensor],
    removed: Mapping[str, Sequence[int]],
    *,
    keep: Sequence[str] = (),
    structure: Structure | None = None,
) -> nn.Module:
    """A deep copy of ``module`` without the units ``removed[group name]`` (units, not channels), the rest as it was.

    Args:
        structure: what :func:`find_structure` found of this very module; it is found again where it is not given.

    Raises:
        CutError: a group is unknown, a unit is outside of it, or none of its units would be left.
    """
    import copy

    from edgewright.compiler.pruning.cutting import take_away

    if structure is None:
        structure = find_structure(module, example_inputs, keep=keep)
    known = {group.name: group for group in structure.groups}
    for name, units in removed.items():
        if name not in known:
            raise CutError(f"'{name}' is no group of this model: it has {', '.join(known) or 'none'}")
        if any(not 0 <= unit < known[name].units for unit in units):
            raise CutError(f"'{name}' has units 0 to {known[name].units - 1}, not {sorted(units)}")
        if len(set(units)) == known[name].units:
            raise CutError(f"none of the {known[name].units} units of '{name}' would be left")
    smaller = copy.deepcopy(module)
    take_away(smaller, structure.plans, removed)
    return smaller


def widths(group: Group, multiple: int) -> tuple[int, ...]:
    """Numbers of units that may remain, ascending: whole multiples of ``multiple`` channels, and all of them."""
    step = multiple // gcd(multiple, group.unit_channels)
    return (*range(step, group.units, step), group.units)


def _group(module: nn.Module, name: str, plan: Plan) -> Group:
    order = [path for path, _ in module.named_modules()]
    members = {slot.path for slot in plan.slots if slot.side != "in"}
    consumers = {slot.path for slot in plan.slots if slot.side == "in"}
    each = min(len(channels) for slot, channels in plan.units[0].items() if slot.side != "parameter")
    grouped = any(_is_grouped(module, slot.path) for slot in plan.slots if slot.side == "both")
    return Group(
        name,
        len(plan.units),
        each,
        tuple(path for path in (*order, *sorted(members.difference(order))) if path in members),
        tuple(path for path in order if path in consumers),
        "groups" if grouped else plan.kind,
    )


def _is_grouped(module: nn.Module, path: str) -> bool:
    from torch import nn

    layer = module.get_submodule(path)
    return isinstance(layer, nn.modules.conv._ConvNd) and layer.groups < layer.out_channels  # noqa: SLF001


def _reason_to_keep(bundle: Bundle, keep: Sequence[str]) -> str | None:
    for slot in bundle.units[0]:
        parts = slot.path.split(".")
        prefixes = [".".join(parts[: place + 1]) for place in range(len(parts))]
        for pattern in keep:
            if slot.side != "in" and any(fnmatchcase(prefix, pattern) for prefix in prefixes):
                return f"'{slot.path}' is kept by '{pattern}'"
    if not any(slot.side == "in" for slot in bundle.units[0]):
        return "no convolution or linear layer reads its channels"
    return None


def _free_name(path: str, taken: Mapping[str, object]) -> str:
    """A layer whose outputs fall into several groups leads each; the later ones are told apart by a number."""
    name, number = path, 2
    while name in taken:
        name, number = f"{path}#{number}", number + 1
    return name
