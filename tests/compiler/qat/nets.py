"""Tiny nets of the kinds that quantisation-aware training has to find its way in, all taking `(N, 3, 8, 8)`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn


def unit(inputs: int, outputs: int, kernel: int = 3, groups: int = 1, act: nn.Module | None = None) -> nn.Sequential:
    """Convolution, BatchNorm with an epsilon of its own, activation."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.05), act or nn.ReLU(inplace=True))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(unit(3, 8), nn.MaxPool2d(2), unit(8, 8), nn.Dropout(0.2))
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.body(x).mean((2, 3)))
        return answer


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 8)
        self.first, self.second = unit(8, 8), unit(8, 8, act=nn.Identity())
        self.relu = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(8, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        y = self.second(self.first(x))
        y += x
        answer: torch.Tensor = self.last(self.relu(y))
        return answer


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(unit(3, 8, act=nn.ReLU6()), unit(8, 8, groups=8, act=nn.ReLU6()), unit(8, 8, 1))
        self.head = nn.Linear(8 * 64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.head(self.body(x).flatten(1))
        return answer


class Squeeze(nn.Module):
    """Squeeze and excite, hard swish and swish, concatenation, a transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 8, act=nn.Hardswish())
        self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.branch = unit(8, 8, act=nn.SiLU())
        self.up = nn.ConvTranspose2d(16, 4, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        gate = torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
        answer: torch.Tensor = self.up(torch.cat([x * gate, self.branch(x)], 1))
        return answer


class Tokens(nn.Module):
    """Self-attention and an MLP over 64 tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 1)
        self.norm, self.after = nn.LayerNorm(16), nn.LayerNorm(16)
        self.query, self.key, self.value, self.out = (nn.Linear(16, 16) for _ in range(4))
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x).flatten(2).transpose(1, 2)
        y = self.norm(x)
        scores = self.query(y) @ self.key(y).transpose(1, 2) / 4.0
        x = x + self.out(scores.softmax(-1) @ self.value(y))
        x = x + self.down(nn.functional.gelu(self.up(self.after(x))))
        answer: torch.Tensor = self.head(x.mean(1))
        return answer


class Padded(nn.Module):
    """Pads by an operator of its own, on one side more than on the other, as ports of Keras models do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, 8, kernel=1)
        self.down = nn.Conv2d(8, 8, 3, stride=2, groups=8)
        self.norm = nn.BatchNorm2d(8)
        self.wide = nn.Conv2d(8, 16, 3)
        self.head = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.down(nn.functional.pad(self.stem(x), (0, 1, 0, 1))))
        x = self.wide(nn.functional.pad(nn.functional.relu6(x), (1, 1, 1, 1), mode="constant", value=0.0))
        answer: torch.Tensor = self.head(x.mean((2, 3)))
        return answer


NETS: dict[str, Callable[[], nn.Module]] = {
    "plain": Plain,
    "residual": Residual,
    "depthwise": Depthwise,
    "squeeze": Squeeze,
    "tokens": Tokens,
    "padded": Padded,
}


def settled_net(name: str) -> nn.Module:
    """A net whose BatchNorms have seen data, in evaluation mode; the same on every call."""
    torch.manual_seed(7)
    net = NETS[name]().train()
    with torch.no_grad():
        for one in net.modules():
            if isinstance(one, nn.BatchNorm2d):
                one.weight.uniform_(0.5, 1.5)
                one.bias.uniform_(-0.3, 0.3)
                one.momentum = 0.5
            if isinstance(one, nn.LayerNorm):
                one.weight.uniform_(0.05, 3.0)
                one.bias.uniform_(-0.1, 0.1)  # equal biases would become one constant that nobody may change
        for _ in range(8):
            net(torch.randn(32, 3, 8, 8))
        for one in net.modules():
            if isinstance(one, nn.BatchNorm2d):
                one.momentum = 0.05
    return net.eval()
