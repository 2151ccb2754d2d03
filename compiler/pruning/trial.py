"""Tries a cut on a copy: it must run, keep the shape of every output, and answer what the masked original answers.

A cut takes away channels that nothing reads any more. So the model in which every reader's weights for those channels
are zero is the same function, to the last rounding: comparing the two finds whatever a trace did not see, a softmax
over channels, a size written in the code, a buffer used with an operator.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from edgewright.compiler.pruning.cutting import take_away
from edgewright.compiler.pruning.dependencies import tensors_in
from edgewright.compiler.pruning.slots import CutError, Plan

if TYPE_CHECKING:
    import torch
    from torch import nn

TOLERANCE, COARSE = 1e-7, 1e-4
"""Of the largest output, in float64 and where a module insists on float32: sums in another order stay far below it."""


_Step: TypeAlias = "tuple[str, torch.Tensor]"
"""An operator with the module it stands in, and what it gave."""


class Trial:
    """A module with its weights stirred (a fresh or sparse one hides mistakes behind zeros), ready to be cut.

    Raises:
        CutError: the module cannot be copied, or does not run.
    """

    def __init__(self, module: nn.Module, example_inputs: Sequence[torch.Tensor]) -> None:
        import torch

        generator = torch.Generator().manual_seed(0)
        noise = [torch.randn(value.shape, generator=generator) for value in example_inputs]
        given = [value.detach() for value in example_inputs]
        stirred = [
            value + 0.5 * other if value.is_floating_point() else value
            for value, other in zip(given, noise, strict=True)
        ]
        failure: str | None = None
        for exact in (True, False):
            self.tolerance = TOLERANCE if exact else COARSE
            self.module = _stirred(module, exact)
            for inputs in (stirred, given):  # the one that the user gave where others lead out of the model's domain
                self.inputs = [value.double() if exact and value.is_floating_point() else value for value in inputs]
                answers, failure = _answers(self.module, self.inputs)
                if not failure and all(bool(answer.isfinite().all()) for answer in answers):
                    return
        if failure:
            raise CutError(f"the model does not run on its example inputs: {failure}")

    def problem(self, plans: Mapping[str, Plan]) -> str | None:
        """Why these plans cannot be cut together; None where they can. About a third of each one's units is tried."""
        removed = {name: _some(len(plan.units)) for name, plan in plans.items()}
        masked, smaller = _sharing_copy(self.module), _sharing_copy(self.module)
        for name, units in removed.items():
            _silence(masked, plans[name], units)
        try:
            take_away(smaller, plans, removed)
        except CutError as error:
            return str(error)
        steps: tuple[list[_Step], list[_Step]] | None = ([], []) if len(plans) == 1 else None
        expected, failure = _answers(masked, self.inputs, steps[0] if steps else None)
        if failure:
            return failure
        got, failure = _answers(smaller, self.inputs, steps[1] if steps else None)
        if failure:
            return failure
        problem = _difference(expected, got, self.tolerance)
        if problem is None or steps is None or "mixes" not in problem:
            return problem
        ((name, plan),) = plans.items()
        operator = _first_difference(*steps, plan, removed[name], self.tolerance)
        return problem.replace("an operator mixes", f"{operator} mixes") if operator else problem


def _some(units: int) -> tuple[int, ...]:
    """An odd number of units, so that halves and quarters of what is left show; the same ones every time."""
    import torch

    count = max(units // 3 - (units // 3 + 1) % 2, 1)
    chosen = torch.randperm(units, generator=torch.Generator().manual_seed(units))[:count]
    return tuple(sorted(chosen.tolist()))


def _stirred(module: nn.Module, exact: bool) -> nn.Module:
    import torch

    try:
        copied = copy.deepcopy(module).eval()
    except Exception as error:
        raise CutError(f"the module cannot be copied: {type(error).__name__}: {error}") from error
    copied = copied.double() if exact else copied
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.is_floating_point():
                spread = parameter.float().square().mean().sqrt().clamp(min=0.01)
                noise = torch.randn(parameter.shape, generator=generator)
                parameter.add_((0.1 * spread * noise).to(parameter.dtype))
    return copied


def _sharing_copy(module: nn.Module) -> nn.Module:
    """A copy whose parameters are the very ones of ``module``: they may be replaced, not written to."""
    return copy.deepcopy(module, {id(parameter): parameter for parameter in module.parameters()})


def _silence(module: nn.Module, plan: Plan, units: Sequence[int]) -> None:
    """Makes weights zero by which readers take up the channels of ``units``."""
    import torch

    for unit in units:
        for slot, channels in plan.units[unit].items():
            if slot.side == "in":
                layer = module.get_submodule(slot.path)
                axis = 0 if getattr(layer, "transposed", False) else 1
                weight = layer.get_parameter("weight").detach().index_fill(axis, torch.tensor(channels), 0)
                layer.register_parameter("weight", torch.nn.Parameter(weight, requires_grad=False))


def _answers(
    module: nn.Module, inputs: Sequence[torch.Tensor], steps: list[_Step] | None = None
) -> tuple[list[torch.Tensor], str | None]:
    """The outputs, or the operator that stopped the model and the module it stood in; ``steps`` is appended to."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Watch(TorchFunctionMode):
        last = "the forward method"

        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            Watch.last = getattr(func, "__name__", str(func))
            result = func(*args, **(kwargs or {}))
            if steps is not None and isinstance(result, torch.Tensor):
                steps.append((f"'{Watch.last}'{where()}", result))
            return result

    inside: list[str] = []

    def where() -> str:
        return f" in '{inside[-1]}'" if inside and inside[-1] else ""

    hooks = []
    for path, one in module.named_modules():
        hooks.append(one.register_forward_pre_hook(lambda *_, path=path: inside.append(path)))
        hooks.append(one.register_forward_hook(lambda *_: (inside.pop(), None)[1]))
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()), Watch():
            torch.manual_seed(0)
            return tensors_in(module(*inputs)), None
    except Exception as error:  # noqa: BLE001 - whatever the user's module meets with fewer channels is one refusal
        text = (str(error).splitlines() or [type(error).__name__])[0]
        return [], f"'{Watch.last}'{where()} is written for other sizes: {text:.160}"
    finally:
        for hook in hooks:
            hook.remove()


def _difference(expected: Sequence[torch.Tensor], got: Sequence[torch.Tensor], tolerance: float) -> str | None:
    import torch

    for place, (one, other) in enumerate(zip(expected, got, strict=True)):
        if one.shape != other.shape:
            return f"its channels reach output {place} of the model: {tuple(one.shape)} becomes {tuple(other.shape)}"
        if one.is_floating_point() and one.numel():
            scale = float(one.abs().nan_to_num(0, posinf=0).max()) or 1.0
            same = (one == other) | (one.isnan() & other.isnan())
            error = float(torch.where(same, 0, one - other).abs().nan_to_num(torch.inf).max())
            if error > tolerance * scale:
                return f"an operator mixes its channels: output {place} changes by {error / scale:.2g} of its largest"
    return None


def _first_difference(
    expected: Sequence[_Step], got: Sequence[_Step], plan: Plan, units: Sequence[int], tolerance: float
) -> str | None:
    """The first operator that gives other values for channels that stay; None where the steps cannot be compared."""
    import torch

    leader = plan.slots[0]
    gone = {channel for unit in units for channel in plan.units[unit][leader]}
    width = sum(len(unit[leader]) for unit in plan.units)
    kept = torch.tensor([channel for channel in range(width) if channel not in gone])
    for (operator, one), (other_operator, other) in zip(expected, got, strict=False):
        if operator != other_operator or one.ndim != other.ndim:
            return None
        narrowed = one
        for axis, (before, after) in enumerate(zip(one.shape, other.shape, strict=True)):
            if before != after and (before, after) == (width, len(kept)):
                narrowed = narrowed.index_select(axis, kept)
        if narrowed.shape == other.shape and _difference([narrowed], [other], tolerance):
            return operator
    return None
