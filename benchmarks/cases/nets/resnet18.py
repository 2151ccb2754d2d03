"""ResNet-18, written from He et al. 2015, with seeded random weights. Loadable by path: it imports no sibling.

Weights are He-initialised from a seed. The batch norms' statistics are then taken from seeded noise, because residual
sums of an uncalibrated net double their variance at every block and no quantiser is meant for that.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional


class BasicBlock(nn.Module):
    """Two 3x3 convolutions round a shortcut, projected where the shape changes."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """`(N, 3, 224, 224)` -> `(N, 1000)` logits, 11.7 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        widths = (64, 64, 128, 256, 512)
        stages = [
            block
            for i, (before, width) in enumerate(pairwise(widths))
            for block in (BasicBlock(before, width, 1 if i == 0 else 2), BasicBlock(width, width, 1))
        ]
        self.stages = nn.Sequential(*stages)
        self.classify = nn.Linear(512, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.stages(self.stem(x)).mean((2, 3)))
        return logits


def seeded(seed: int = 18) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with its random weights, in eval mode, and an example input."""
    torch.manual_seed(seed)
    net = ResNet18()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # a plain mean over the batches below
    net.train()
    with torch.no_grad():
        for _ in range(2):
            net(torch.randn(4, 3, 224, 224))
    return net.eval(), (torch.zeros(1, 3, 224, 224),)
