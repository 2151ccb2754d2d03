"""A 274 k-parameter anchor-free detector with a small feature pyramid; non-maximum suppression is left to the caller.

Written and trained for this project on scenes of Fashion-MNIST items (MIT). Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

STRIDE = 4
SIZE = 96


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.SiLU())


class Pyramid(nn.Module):
    """`(N, 1, S, S)` -> features `(N, 4 * width, S / 4, S / 4)`: four stages down, two up by nearest neighbour."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = block(1, width, 2)
        self.b = nn.Sequential(block(width, 2 * width, 2), block(2 * width, 2 * width))
        self.c = nn.Sequential(block(2 * width, 4 * width, 2), block(4 * width, 4 * width))
        self.d = nn.Sequential(block(4 * width, 4 * width, 2), block(4 * width, 4 * width))
        self.u1 = block(8 * width, 4 * width)
        self.u2 = block(6 * width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        fine = self.b(self.a(x))
        middle = self.c(fine)
        coarse = self.d(middle)
        middle = self.u1(torch.cat([functional.interpolate(coarse, scale_factor=2.0, mode="nearest"), middle], 1))
        merged: torch.Tensor = self.u2(
            torch.cat([functional.interpolate(middle, scale_factor=2.0, mode="nearest"), fine], 1)
        )
        return merged


class FashionDetector(nn.Module):
    """`(N, 1, 96, 96)` in [0, 1] -> `(N, 576, 15)`: box xyxy in pixels, objectness, ten class scores."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = Pyramid(width)
        self.head = nn.Conv2d(4 * width, 15, 1)
        cells = torch.arange(SIZE // STRIDE)
        rows, columns = torch.meshgrid(cells, cells, indexing="ij")
        self.register_buffer("ctr", (torch.stack([columns, rows], -1).reshape(-1, 2).float() + 0.5) * STRIDE)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raw = self.head(self.body(x)).flatten(2).transpose(1, 2)
        reach = functional.softplus(raw[..., :4]) * 8
        centre = self.get_buffer("ctr")
        return torch.cat([centre - reach[..., :2], centre + reach[..., 2:], raw[..., 4:].sigmoid()], -1)


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input."""
    net = FashionDetector()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(1, 1, SIZE, SIZE),)
