"""What stands in for codes while a module is trained: activations on one grid, weights and constants on their own.

The classes derive from torchao's, which is imported when the first of them is asked for.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Protocol

from edgewright.compiler.quantization.grid import LIMITS, SMALLEST_SCALE, Grid, grid_over

if TYPE_CHECKING:
    import torch

AVERAGING = 0.01
"""What one batch adds to a range that is averaged."""
_SMALLEST_WEIGHT_SCALE = 2.0**-120


class ActivationQuantizer(Protocol):
    """One grid while it is trained; a torch module."""

    tensor: str
    """The tensor it was made for."""
    group: str
    """The tensor whose grid this is."""
    adapting: bool
    """Whether its range follows what it sees or learns."""

    def grid(self) -> Grid:
        """The grid as it is now."""
        ...


@cache
def activation_class() -> type[torch.nn.Module]:
    """The class of fake quantisers of activations; its instances are :class:`ActivationQuantizer`."""
    import torch
    from torchao.quantization.pt2e import FakeQuantizeBase

    class Activation(FakeQuantizeBase):  # type: ignore[misc]
        """``ranges`` says how the grid moves: its scale by gradient, both ends by a moving average, or not at all."""

        is_dynamic = False
        scale: torch.Tensor
        zero_point: torch.Tensor
        stretch: torch.Tensor
        ends: torch.Tensor

        def __init__(
            self,
            *,
            tensor: str,
            group: str,
            start: tuple[float, int],
            ranges: str,
            symmetric: bool,
            quant_min: int,
            quant_max: int,
            dtype: torch.dtype,
            qscheme: torch.qscheme,
            is_dynamic: bool = False,
        ) -> None:
            super().__init__()
            assert not is_dynamic
            self.tensor, self.group, self.ranges, self.symmetric = tensor, group, ranges, symmetric
            self.quant_min, self.quant_max, self.dtype, self.qscheme = quant_min, quant_max, dtype, qscheme
            self.adapting = ranges != "fixed"
            scale, zero_point = start
            self.register_buffer("scale", torch.tensor([scale], dtype=torch.float32))
            self.register_buffer("zero_point", torch.tensor([zero_point], dtype=torch.int32))
            if ranges == "learned":
                # Of the scale's logarithm: a step changes every scale by the same share, whatever its size, and
                # weight decay pulls towards where calibration put it.
                self.stretch = torch.nn.Parameter(torch.zeros(1))
            elif ranges == "average":
                ends = [scale * (quant_min - zero_point), scale * (quant_max - zero_point)]
                self.register_buffer("ends", torch.tensor(ends, dtype=torch.float32))

        def calculate_qparams(self, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
            """Scale and zero point as they are now."""
            with torch.no_grad():
                return self._scale().detach(), self.zero_point

        def grid(self) -> Grid:
            scale, zero_point = self.calculate_qparams()
            name = str(self.dtype).removeprefix("torch.")
            return Grid(scale.cpu().numpy().reshape(()), zero_point.cpu().numpy().astype("int64").reshape(()), name)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            learns = self.adapting and self.ranges == "learned" and torch.is_grad_enabled()
            if self.adapting and self.ranges == "average" and torch.is_grad_enabled():
                self._average(x.detach())
            if learns:
                # The gradient of a step size and how it is weighted: Esser et al., "Learned Step Size Quantization",
                # https://arxiv.org/abs/1902.08153 (section 2.2).
                weight = 1.0 / math.sqrt(max(1, x[0].numel() if x.dim() else 1) * self.quant_max)
                points = self.zero_point.float()
                return torch._fake_quantize_learnable_per_tensor_affine(  # noqa: SLF001 - the only public way is a module
                    x, self._scale(), points, self.quant_min, self.quant_max, weight
                )
            return torch.fake_quantize_per_tensor_affine(
                x, self._scale().detach(), self.zero_point, self.quant_min, self.quant_max
            )

        def _scale(self) -> torch.Tensor:
            if self.ranges != "learned":
                return self.scale
            scale: torch.Tensor = (self.scale * torch.exp(self.stretch)).clamp(min=SMALLEST_SCALE)
            return scale

        def _average(self, x: torch.Tensor) -> None:
            if x.numel() == 0:
                return
            seen = torch.stack([x.min(), x.max()]).float()
            self.ends += AVERAGING * (seen - self.ends)
            low, high = (float(end) for end in self.ends)
            grid = grid_over(low, high, str(self.dtype).removeprefix("torch."), self.symmetric)
            self.scale.fill_(float(grid.scale))
            self.zero_point.fill_(int(grid.zero_point))

    return Activation


@cache
def constant_class() -> type[torch.nn.Module]:
    """The class of fake quantisers of weights and other constants: on the grid that spans them, anew on each call."""
    import torch
    from torchao.quantization.pt2e import FakeQuantizeBase

    class Constant(FakeQuantizeBase):  # type: ignore[misc]
        """A weight's grid is symmetric with a scale per index of ``axis``; ``kind`` is for a constant activation's."""

        is_dynamic = False

        def __init__(
            self,
            *,
            most: int | None,
            axis: int | None,
            quant_min: int,
            quant_max: int,
            dtype: torch.dtype,
            qscheme: torch.qscheme,
            symmetric: bool = True,
            is_dynamic: bool = False,
        ) -> None:
            super().__init__()
            assert not is_dynamic
            self.most, self.axis, self.symmetric = most, axis, symmetric
            self.quant_min, self.quant_max, self.dtype, self.qscheme = quant_min, quant_max, dtype, qscheme

        def calculate_qparams(self, **_: object) -> tuple[torch.Tensor, torch.Tensor]:
            """Nothing is kept between calls."""
            return torch.ones(1), torch.zeros(1, dtype=torch.int32)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.most is None:
                ends = (float(x.min()), float(x.max())) if x.numel() else (0.0, 0.0)
                grid = grid_over(*ends, str(self.dtype).removeprefix("torch."), self.symmetric)
                scale, zero = float(grid.scale), int(grid.zero_point)
                return torch.fake_quantize_per_tensor_affine(x, scale, zero, self.quant_min, self.quant_max)
            others = [place for place in range(x.dim()) if place != self.axis]
            reach = x.detach().abs()
            reach = reach.amax(dim=others) if self.axis is not None else reach.amax().reshape(1)
            scales = (reach / self.most).clamp(min=_SMALLEST_WEIGHT_SCALE)
            zeros = torch.zeros(scales.shape, dtype=torch.int32, device=x.device)
            if self.axis is None:
                return torch.fake_quantize_per_tensor_affine(x, scales, zeros, -self.most, self.most)
            return torch.fake_quantize_per_channel_affine(x, scales, zeros, self.axis, -self.most, self.most)

    return Constant


def code_limits(dtype: str) -> tuple[int, int]:
    """Lowest and highest code of ``dtype``."""
    return LIMITS[dtype]
