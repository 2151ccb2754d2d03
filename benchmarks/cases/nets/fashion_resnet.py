"""A residual classifier of 28x28 images, 0.9 M parameters: three basic blocks of dense 3x3 convolutions.

Written and trained for this project on Fashion-MNIST (MIT). Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside the identity, or beside a 1x1 projection where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(inner)) + self.shortcut(x))


class FashionResNet(nn.Module):
    """`(N, 1, 28, 28)` in [0, 1] -> `(N, 10)` logits; 64 channels at 28x28, 128 at 14x14, 192 at 7x7."""

    def __init__(self, widths: tuple[int, int, int] = (64, 128, 192), blocks: tuple[int, int, int] = (1, 1, 1)) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = nn.Conv2d(1, first, 3, 1, 1, bias=False)
        self.stem_bn = nn.BatchNorm2d(first)
        self.stage1 = stage(first, first, blocks[0], 1)
        self.stage2 = stage(first, second, blocks[1], 2)
        self.stage3 = stage(second, third, blocks[2], 2)
        self.fc = nn.Linear(third, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem_bn(self.stem(x)))
        x = self.stage3(self.stage2(self.stage1(x)))
        logits: torch.Tensor = self.fc(x.mean((2, 3)))
        return logits


def stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    """`blocks` residual blocks, the first of which changes width and size."""
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs) for _ in range(blocks - 1)))


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input."""
    net = FashionResNet()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(1, 1, 28, 28),)
