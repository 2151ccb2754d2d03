"""A moving average of a module's weights, which varies less from step to step than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


class Average:
    """The exponential moving average of ``module``'s state, kept beside it; a decay of 0 keeps none.

    Trained parameters and BatchNorm's running statistics are averaged; other buffers are the module's own. Early on the
    decay is smaller, (1 + steps) / (10 + steps), so that the start does not linger.
    """

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self._module, self._decay = module, decay
        self.tensors: dict[str, torch.Tensor] = {}
        if decay:
            self.tensors = {name: value.detach().clone() for name, value in _averaged(module).items()}

    def update(self, step: int) -> None:
        """Takes in the weights as they are after ``step`` (counted from 0)."""
        import torch

        if not self.tensors:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        now = _averaged(self._module)
        with torch.no_grad():
            torch._foreach_lerp_(list(self.tensors.values()), [now[name] for name in self.tensors], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within it the module has the averaged weights."""
        before = {name: value.detach().clone() for name, value in _averaged(self._module).items()}
        _put(self._module, self.tensors)
        try:
            yield
        finally:
            _put(self._module, before)


def _averaged(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {name: one for name, one in module.named_parameters() if one.requires_grad}
    found |= {name: value for name, value in module.named_buffers() if name.endswith(("running_mean", "running_var"))}
    return {name: value for name, value in found.items() if value.is_floating_point()}


def _put(module: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    import torch

    now = _averaged(module)
    with torch.no_grad():
        for name, value in tensors.items():
            now[name].copy_(value)
