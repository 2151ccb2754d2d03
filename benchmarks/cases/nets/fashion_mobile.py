"""A narrow, deep net of inverted residuals for 28x28 images: depthwise convolutions and hard-swish throughout.

The form is that of MobileNetV2 and V3 (Sandler et al. 2018, Howard et al. 2019). Written and trained for this project
on Fashion-MNIST (MIT). Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

EXPANSION = 4
STAGES = ((16, 2, 1), (24, 3, 2), (40, 3, 2))  # channels, blocks, stride of the first block


def conv_bn(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class InvertedResidual(nn.Module):
    """Widened by a 1x1 convolution, filtered channel by channel, narrowed without a nonlinearity."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        inner = EXPANSION * inputs
        self.widen = conv_bn(inputs, inner)
        self.filter = conv_bn(inner, inner, 3, stride, inner)
        self.narrow = conv_bn(inner, outputs)
        self.act = nn.Hardswish()
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.act(self.filter(self.act(self.widen(x))))
        narrowed: torch.Tensor = self.narrow(inner)
        return x + narrowed if self.residual else narrowed


class FashionMobile(nn.Module):
    """`(N, 1, 28, 28)` in [0, 1] -> `(N, 10)` logits."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn(1, STAGES[0][0], 3, 2), nn.Hardswish())
        blocks: list[nn.Module] = []
        channels = STAGES[0][0]
        for outputs, count, stride in STAGES:
            for number in range(count):
                blocks.append(InvertedResidual(channels, outputs, stride if number == 0 else 1))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(*conv_bn(channels, EXPANSION * channels), nn.Hardswish())
        self.fc = nn.Linear(EXPANSION * channels, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.head(self.blocks(self.stem(x))).mean((2, 3)))
        return logits


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input."""
    net = FashionMobile()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(1, 1, 28, 28),)
