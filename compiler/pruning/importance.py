"""How much each unit of a group matters to the answers, without labels; only the order inside a group counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgewright.compiler.pruning.dependencies import tensors_in
from edgewright.compiler.pruning.slots import Plan, Slot
from edgewright.compiler.pruning.structure import Group, Structure

if TYPE_CHECKING:
    import torch
    from torch import nn

FloatArray: TypeAlias = NDArray[np.float64]
Method: TypeAlias = Literal["magnitude", "bn", "taylor", "activation"]
METHODS: tuple[Method, ...] = ("magnitude", "bn", "taylor", "activation")
_Profile: TypeAlias = Mapping[Slot, FloatArray]
"""By slot, a number for each of its channels; they are summed over the channels of a unit."""


def scores(
    module: nn.Module,
    example_inputs: Sequence[torch.Tensor],
    structure: Structure,
    batches: Iterable[tuple[torch.Tensor, ...]],
    method: Method,
) -> dict[str, FloatArray]:
    """Importance by group, shape (units,), higher is more important; the same numbers every time.

    - ``magnitude``: the L2 norm of all weights that go with the unit, its readers' too. Needs no batches.
    - ``bn``: |gamma| summed over the unit's batch norms (Liu et al. 2017); see :func:`without_batch_norm`.
    - ``taylor``: how far the outputs move, to first order, when the readers' weights of the unit become zero
      (Molchanov et al. 2019, with the outputs themselves, on random signs, in place of a loss that wants labels).
    - ``activation``: root of the mean square of what readers get of the unit, times their weights for it.

    Args:
        module: in evaluation mode it stays as it is.
        example_inputs: stand in where ``batches`` is empty.
    """
    if method == "taylor":
        profile = _taylor(module, structure, _or_example(batches, example_inputs))
    elif method == "activation":
        profile = _activation(module, structure, _or_example(batches, example_inputs))
    else:
        profile = _squares(module, structure)
    lacking = dict(without_batch_norm(module, structure))
    found: dict[str, FloatArray] = {}
    for group in structure.groups:
        if method == "bn" and group.name not in lacking:
            found[group.name] = _by_unit(structure.plans[group.name], _gammas(module, group), np.abs)
        elif method == "taylor":
            found[group.name] = _taylor_units(structure.plans[group.name], profile)
        else:
            found[group.name] = np.sqrt(_by_unit(structure.plans[group.name], profile))
    return found


def without_batch_norm(module: nn.Module, structure: Structure) -> tuple[tuple[str, str], ...]:
    """(group, reason) where ``bn`` has nothing to go by, so that ``magnitude`` stands in."""
    return tuple(
        (group.name, f"no batch norm with a scale among its layers ({', '.join(group.members)}): magnitude is used")
        for group in structure.groups
        if not _gammas(module, group)
    )


def _or_example(
    batches: Iterable[tuple[torch.Tensor, ...]], example: Sequence[torch.Tensor]
) -> Iterable[tuple[torch.Tensor, ...]]:
    empty = True
    for batch in batches:
        empty = False
        yield tuple(batch)
    if empty:
        yield tuple(example)


def _gammas(module: nn.Module, group: Group) -> dict[Slot, FloatArray]:
    from torch import nn

    found: dict[Slot, FloatArray] = {}
    for path in group.members:
        layer = dict(module.named_modules()).get(path)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.weight is not None:  # noqa: SLF001
            found[Slot(path, "both")] = layer.weight.detach().abs().double().numpy()
    return found


def _by_unit(plan: Plan, profile: _Profile, change: np.ufunc | None = None) -> FloatArray:
    sums = [
        sum(float(profile[slot][list(channels)].sum()) for slot, channels in unit.items() if slot in profile)
        for unit in plan.units
    ]
    return np.asarray(sums if change is None else change(sums), np.float64)


def _readers(structure: Structure) -> list[Slot]:
    slots = {slot for plan in structure.plans.values() for slot in plan.slots if slot.side == "in"}
    return sorted(slots)


def _columns(layer: nn.Module, weights: torch.Tensor) -> FloatArray:
    """Sums of a weight-shaped tensor by input channel, in float64."""
    axis = 0 if getattr(layer, "transposed", False) else 1
    rest = [place for place in range(weights.ndim) if place != axis]
    columns: FloatArray = weights.detach().double().sum(rest).numpy()
    return columns


def _squares(module: nn.Module, structure: Structure) -> dict[Slot, FloatArray]:
    """Sums of squared weights by channel of every slot."""
    found: dict[Slot, FloatArray] = {}
    for slot in dict.fromkeys(slot for plan in structure.plans.values() for slot in plan.slots):
        if slot.side == "parameter":
            tensor = module.get_parameter(slot.path).detach().double().square()
            found[slot] = tensor.sum([axis for axis in range(tensor.ndim) if axis != slot.axis]).numpy()
            continue
        layer = module.get_submodule(slot.path)
        weight = getattr(layer, "weight", None)
        if weight is None:
            continue
        squares = weight.detach().double().square()
        if slot.side == "in":
            found[slot] = _columns(layer, squares)
        elif getattr(layer, "transposed", False):  # (in, out / groups, ...): outputs of one group after another
            groups = squares.reshape(layer.groups, -1, *squares.shape[1:])
            found[slot] = groups.sum([1, *range(3, groups.ndim)]).reshape(-1).numpy()
        else:
            found[slot] = squares.sum(list(range(1, squares.ndim))).numpy() if squares.ndim > 1 else squares.numpy()
    return found


def _activation(
    module: nn.Module, structure: Structure, batches: Iterable[tuple[torch.Tensor, ...]]
) -> dict[Slot, FloatArray]:
    """By channel that a layer reads: its mean square times the sum of squares of the weights for it."""
    import torch
    from torch import nn

    totals: dict[Slot, FloatArray] = {}
    counts: dict[Slot, int] = {}
    hooks = []

    def watch(slot: Slot, layer: nn.Module) -> None:
        def see(_layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            value = inputs[0].detach().double()
            axis = (
                value.ndim - 1 if isinstance(layer, nn.Linear) else value.ndim - layer.get_parameter("weight").ndim + 1
            )
            rest = [place for place in range(value.ndim) if place != axis]
            totals[slot] = totals.get(slot, np.float64(0)) + value.square().sum(rest).numpy()
            counts[slot] = counts.get(slot, 0) + value.numel() // value.shape[axis]

        hooks.append(layer.register_forward_pre_hook(see))

    for slot in _readers(structure):
        watch(slot, module.get_submodule(slot.path))
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                module(*batch)
    finally:
        module.train(was_training)
        for hook in hooks:
            hook.remove()
    weights = _squares(module, structure)
    return {slot: total / counts[slot] * weights[slot] for slot, total in totals.items()}


def _taylor(
    module: nn.Module, structure: Structure, batches: Iterable[tuple[torch.Tensor, ...]]
) -> dict[Slot, FloatArray]:
    """By channel that a layer reads: (batches, channels), the sum of weight times gradient of the signed outputs."""
    import copy

    import torch

    copied = copy.deepcopy(module).eval().requires_grad_(requires_grad=False)
    layers = {slot: copied.get_submodule(slot.path) for slot in _readers(structure)}
    for layer in layers.values():
        layer.get_parameter("weight").requires_grad_()
    generator = torch.Generator().manual_seed(0)
    found: dict[Slot, list[FloatArray]] = {slot: [] for slot in layers}
    for batch in batches:
        copied.zero_grad(set_to_none=True)
        with torch.enable_grad():
            answers = [value for value in tensors_in(copied(*batch)) if value.grad_fn is not None]
            signs = [torch.randint(0, 2, value.shape, generator=generator) * 2 - 1 for value in answers]
            loss = sum((value * sign / value.numel() ** 0.5).sum() for value, sign in zip(answers, signs, strict=True))
            loss.backward()
        for slot, layer in layers.items():
            weight = layer.get_parameter("weight")
            gradient = weight.grad if weight.grad is not None else torch.zeros_like(weight)
            found[slot].append(_columns(layer, weight.double() * gradient.double()))
    return {slot: np.stack(rows) for slot, rows in found.items()}


def _taylor_units(plan: Plan, profile: _Profile) -> FloatArray:
    """Root mean square over batches of the change of the outputs, all readers of a unit taken together."""
    changes = [
        sum(profile[slot][:, list(channels)].sum(axis=1) for slot, channels in unit.items() if slot in profile)
        for unit in plan.units
    ]
    found: FloatArray = np.sqrt(np.mean(np.square(np.asarray(changes, np.float64)), axis=1))
    return found
