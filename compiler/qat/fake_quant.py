"""What stands in for codes while a module is trained: activations on one grid, weights and constants on their own.

The classes derive from torchao's, which is imported when the first of them is asked for; what they compute is below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from edgewright.compiler.quantization.grid import SMALLEST_SCALE, Grid, grid_over, written
from edgewright.compiler.quantization.weights import SMALLEST_WEIGHT_SCALE

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

AVERAGING = 0.01
"""What one batch adds to a range that is averaged."""
_SHARE_FOR_SCALES = 8
"""The scale's gradient is estimated from one sample in so many."""


@dataclass(frozen=True)
class Start:
    """What an activation's fake quantiser begins with."""

    tensor: str
    group: str
    """The tensor whose grid it shares."""
    scale: float
    zero_point: int
    symmetric: bool
    ranges: str
    """How the grid moves: ``learned``, its scale by gradient; ``average`` of both ends; ``fixed``, not at all."""


class ActivationQuantizer(Protocol):
    """One grid while it is trained; a torch module."""

    start: Start
    adapting: bool
    """Whether its range moves now."""

    def grid(self) -> Grid:
        """The grid as it is now."""
        ...


@cache
def activation_class() -> type[torch.nn.Module]:
    """The class of fake quantisers of activations; its instances are :class:`ActivationQuantizer`."""
    import torch
    from torchao.quantization.pt2e import FakeQuantizeBase

    class Activation(FakeQuantizeBase):  # type: ignore[misc]
        """A learned scale is trained by its logarithm: a step changes each by the same share, whatever its size."""

        is_dynamic = False
        scale: torch.Tensor
        zero_point: torch.Tensor
        stretch: torch.Tensor
        ends: torch.Tensor

        def __init__(
            self,
            *,
            start: Start,
            quant_min: int,
            quant_max: int,
            dtype: torch.dtype,
            qscheme: torch.qscheme,
            is_dynamic: bool = False,
        ) -> None:
            super().__init__()
            assert not is_dynamic
            self.start, self.adapting = start, False
            self.quant_min, self.quant_max, self.dtype, self.qscheme = quant_min, quant_max, dtype, qscheme
            self.register_buffer("scale", torch.tensor([start.scale], dtype=torch.float32))
            self.register_buffer("zero_point", torch.tensor([start.zero_point], dtype=torch.int32))
            if start.ranges == "learned":
                self.stretch = torch.nn.Parameter(torch.zeros(1))
            elif start.ranges == "average":
                codes = torch.tensor([quant_min, quant_max], dtype=torch.float32)
                self.register_buffer("ends", start.scale * (codes - start.zero_point))

        def calculate_qparams(self, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
            """Scale and zero point as they are now."""
            return self._scale().detach(), self.zero_point

        def grid(self) -> Grid:
            scale, zero_point = (one.cpu().numpy().reshape(()) for one in self.calculate_qparams())
            return Grid(scale, zero_point.astype(np.int64), _name(self.dtype))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            moves = self.adapting and torch.is_grad_enabled()
            if moves and self.start.ranges == "average":
                self._average(x.detach())
            scale = self._scale()
            if moves and self.start.ranges == "learned":
                return learning(x, scale, self.zero_point, self.quant_min, self.quant_max)
            return torch.fake_quantize_per_tensor_affine(
                x, scale.detach(), self.zero_point, self.quant_min, self.quant_max
            )

        def _scale(self) -> torch.Tensor:
            if self.start.ranges != "learned":
                return self.scale
            scale: torch.Tensor = (self.scale * torch.exp(self.stretch)).clamp(min=SMALLEST_SCALE)
            return scale

        def _average(self, x: torch.Tensor) -> None:
            if x.numel():
                self.ends += AVERAGING * (torch.stack([x.min(), x.max()]).float() - self.ends)
                low, high = (float(end) for end in self.ends)
                grid = grid_over(low, high, _name(self.dtype), self.start.symmetric)
                self.scale.fill_(float(grid.scale))
                self.zero_point.fill_(int(grid.zero_point))

    return Activation


@cache
def constant_class() -> type[torch.nn.Module]:
    """The class of fake quantisers of weights and other constants: on the grid that spans them, anew on each call."""
    import torch
    from torchao.quantization.pt2e import FakeQuantizeBase

    class Constant(FakeQuantizeBase):  # type: ignore[misc]
        """``most`` is a weight's largest code, None for a constant among activations."""

        is_dynamic = False

        def __init__(
            self,
            *,
            most: int | None,
            axis: int | None,
            symmetric: bool,
            scales: str,
            quant_min: int,
            quant_max: int,
            dtype: torch.dtype,
            qscheme: torch.qscheme,
            is_dynamic: bool = False,
        ) -> None:
            super().__init__()
            assert not is_dynamic
            self.most, self.axis, self.symmetric, self.scales = most, axis, symmetric, scales
            self.quant_min, self.quant_max, self.dtype, self.qscheme = quant_min, quant_max, dtype, qscheme

        def calculate_qparams(self, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
            """Nothing is kept between calls."""
            return torch.ones(1), torch.zeros(1, dtype=torch.int32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.most is not None:
                return weight_on_codes(x, self.most, self.axis, self.scales)
            ends = (float(x.min()), float(x.max())) if x.numel() else (0.0, 0.0)
            grid = grid_over(*ends, _name(self.dtype), self.symmetric, self.scales)
            scale, zero_point = float(grid.scale), int(grid.zero_point)
            return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, self.quant_min, self.quant_max)

    return Constant


def learning(
    x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, quant_min: int, quant_max: int
) -> torch.Tensor:
    """``x`` on codes, with a gradient for ``scale`` that is estimated from a part of the batch.

    The gradient and its weight are those of Esser et al., "Learned Step Size Quantization",
    https://arxiv.org/abs/1902.08153 (section 2).
    """
    weight = 1.0 / math.sqrt(max(1, x[0].numel() if x.dim() and len(x) else 1) * quant_max)
    function = cast("Callable[..., torch.Tensor]", _rounding().apply)
    return function(x, scale, zero_point, (quant_min, quant_max, weight))


@cache
def _rounding() -> type[torch.autograd.Function]:
    """Torch has this as one operator, which looks at all of the batch for the scale's gradient."""
    import torch

    class Rounding(torch.autograd.Function):
        """To the nearest code; gradients pass where codes are not clamped."""

        @staticmethod
        def forward(
            ctx: Any, x: torch.Tensor, scale: torch.Tensor, zero_point: torch.Tensor, rule: tuple[int, int, float]
        ) -> torch.Tensor:
            quant_min, quant_max, weight = rule
            function = torch.ops.aten._fake_quantize_per_tensor_affine_cachemask_tensor_qparams  # noqa: SLF001 - torch has the mask nowhere else
            enabled = torch.ones(1, dtype=torch.int64, device=x.device)
            y, inside = function(x, scale, zero_point, enabled, quant_min, quant_max)
            part = max(1, len(x) // _SHARE_FOR_SCALES) if x.dim() else None
            some = slice(part) if part is not None else ...
            # The derivative by the scale, times the scale: what rounding added, or the clamped value itself.
            slope = torch.where(inside[some], y[some] - x[some], y[some])
            ctx.save_for_backward(slope, inside, scale)
            ctx.some, ctx.weight = some, weight * (len(x) / part if part is not None and len(x) else 1.0)
            return cast("torch.Tensor", y)

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
            slope, inside, scale = ctx.saved_tensors
            by_scale = (grads[0][ctx.some] * slope).sum(dtype=torch.float32).reshape(scale.shape) / scale * ctx.weight
            return grads[0] * inside, by_scale, None, None

    return Rounding


def weight_on_codes(weight: torch.Tensor, most: int, axis: int | None, kind: str = "float32") -> torch.Tensor:
    """``weight`` on symmetric codes up to ``most`` with scales of type ``kind``, as ``quantize_weight`` rounds it."""
    import torch

    reach = weight.detach().abs()
    if axis is None:
        reach = reach.amax().reshape(1)
    else:
        reach = reach.amax(dim=[place for place in range(weight.dim()) if place != axis])
    scales = (reach / most).clamp(min=SMALLEST_WEIGHT_SCALE)
    if kind != "float32":
        scales = torch.from_numpy(written(scales.cpu().numpy(), kind)).to(weight.device)
    zeros = torch.zeros(scales.shape, dtype=torch.int32, device=weight.device)
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(weight, scales, zeros, -most, most)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, axis, -most, most)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
