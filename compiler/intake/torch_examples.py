"""Example inputs of a torch module: what it is traced with, in the shapes that the user wishes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

from edgewright.compiler.intake.shapes import Bound
from edgewright.core.errors import UsageError

if TYPE_CHECKING:
    import torch


def example_inputs(
    module: torch.nn.Module, given: tuple[torch.Tensor, ...] | None, bounds: Mapping[str, tuple[Bound, ...]]
) -> dict[str, torch.Tensor]:
    """Example inputs by the names of ``forward``'s parameters.

    Args:
        module: its ``forward`` says which inputs there are.
        given: what the user's factory returned beside the module, in order; None for nothing.
        bounds: what ``--shape`` says, by input.

    Raises:
        UsageError: a shape for an input that there is not, or an input without an example.
    """
    import torch

    parameters = [
        item for item in inspect.signature(module.forward).parameters.values() if item.kind is not item.VAR_KEYWORD
    ]
    names = [item.name for item in parameters]
    if given is not None and len(given) > len(names):
        names = [f"input_{index}" for index in range(len(given))]
    known = dict(zip(names, given or (), strict=False))
    if unknown := [name for name in bounds if name not in names]:
        raise UsageError(f"shape for '{unknown[0]:.100}', but forward takes {', '.join(names)}", "Use those names.")
    required = names[: len(given)] if given is not None else [p.name for p in parameters if p.default is p.empty]
    found: dict[str, torch.Tensor] = {}
    for name in names:
        example = known.get(name)
        if name in bounds:
            found[name] = _tensor_of(bounds[name], example)
        elif example is not None:
            found[name] = example
        elif name in required:
            raise UsageError(
                f"there are no example inputs for '{name}'",
                f"Return (module, example_inputs) from the factory, or give --shape {name}=1,3,224,224.",
            )
    assert all(isinstance(value, torch.Tensor | int | float | bool | None) for value in found.values())
    return found


def _tensor_of(bounds: tuple[Bound, ...], example: torch.Tensor | None) -> torch.Tensor:
    import torch

    # torch takes a size of 0 or 1 for a constant, so a range is tried with 2 or more.
    sizes = [bound.low if bound.low == bound.high else max(2, bound.low) for bound in bounds]
    fits = example is not None and example.dim() == len(sizes)
    if fits and example is not None and list(example.shape) == sizes:
        return example
    dtype = torch.float32 if example is None else example.dtype
    return torch.randn(sizes, dtype=dtype) if dtype.is_floating_point else torch.zeros(sizes, dtype=dtype)


def batch_inputs(inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor] | None:
    """The inputs that have a batch axis, with two samples or more; None where their first sizes are not one batch."""
    import torch

    batched = {name: value for name, value in inputs.items() if isinstance(value, torch.Tensor) and value.dim() > 0}
    sizes = {value.shape[0] for value in batched.values()}
    if len(sizes) != 1:
        return None
    return {name: torch.cat([value, value]) if sizes == {1} else value for name, value in batched.items()}
