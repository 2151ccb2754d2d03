"""A 50 k-parameter classifier of 28x28 images: residual, depthwise, squeeze-excite and hard-swish in one small net.

Written and trained for this project on Fashion-MNIST (MIT). Loadable by path: it imports no sibling.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional


def conv_bn(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class FashionClassifier(nn.Module):
    """`(N, 1, 28, 28)` in [0, 1] -> `(N, 10)` logits. Attribute names are those of the state dict."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.stem = conv_bn(1, width)
        self.dw1 = conv_bn(width, width, 3, 2, width)
        self.pw1 = conv_bn(width, 2 * width, 1)
        self.r1 = conv_bn(2 * width, 2 * width)
        self.r2 = conv_bn(2 * width, 2 * width)
        self.dw2 = conv_bn(2 * width, 2 * width, 3, 2, 2 * width)
        self.pw2 = conv_bn(2 * width, 3 * width, 1)
        self.s1 = nn.Conv2d(3 * width, width // 2, 1)
        self.s2 = nn.Conv2d(width // 2, 3 * width, 1)
        self.fc = nn.Linear(3 * width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu(self.pw1(functional.relu(self.dw1(x))))
        x = functional.relu(x + self.r2(functional.relu(self.r1(x))))
        x = functional.hardswish(self.pw2(functional.relu6(self.dw2(x))))
        squeezed = functional.relu(self.s1(x.mean((2, 3), keepdim=True)))
        gate = torch.sigmoid(self.s2(squeezed))
        logits: torch.Tensor = self.fc((x * gate).mean((2, 3)))
        return logits


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input."""
    net = FashionClassifier()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(1, 1, 28, 28),)
