"""Nets that say in some way what cannot be cut, or what only looks as if it could."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

ODD: dict[str, type[nn.Module]] = {}
"""By name; each reads ``(2, 3, 8, 8)`` and has a layer ``free`` that can be cut, and ``held`` that cannot: the class's
docstring is part of the reason."""


def odd(made: type[nn.Module]) -> type[nn.Module]:
    ODD[made.__name__] = made
    return made


class Base(nn.Module):
    """``free`` and its reader in front, a head behind; in between is what a class of its own does."""

    def __init__(self, given: int = 8) -> None:
        super().__init__()
        self.free, self.held, self.head = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 8, 1), nn.Conv2d(given, 4, 1)

    def between(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.between(self.held(torch.relu(self.free(x)))))
        return y


@odd
class HardCodedReshape(Base):
    """'reshape'"""

    def between(self, x: Tensor) -> Tensor:
        return x.reshape(2, 8, 64).softmax(-1).reshape(2, 8, 8, 8)


@odd
class SoftmaxOverChannels(Base):
    """'softmax' mixes its channels"""

    def between(self, x: Tensor) -> Tensor:
        return x.softmax(1)


@odd
class ChannelShuffle(Base):
    """'view'"""

    def between(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


@odd
class BufferOfItsWidth(Base):
    """'mul'"""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.rand(1, 8, 1, 1))

    def between(self, x: Tensor) -> Tensor:
        return x * self.get_buffer("mask")


@odd
class PixelShuffle(Base):
    """orders them anew"""

    def __init__(self) -> None:
        super().__init__(2)

    def between(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(x, 2)


@odd
class NormOverAll(Base):
    """normalises over all"""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 8)

    def between(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x)
        return y


@odd
class WeightNorm(Base):
    """weight_norm"""

    def __init__(self) -> None:
        super().__init__()
        self.held = parametrizations.weight_norm(self.held)

    def between(self, x: Tensor) -> Tensor:
        return x


@odd
class SharedWeight(Base):
    """is shared with another layer"""

    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Conv2d(8, 8, 1)
        self.twice = nn.Conv2d(8, 8, 1)
        self.twice.weight = self.again.weight

    def between(self, x: Tensor) -> Tensor:
        y: Tensor = self.twice(torch.relu(self.again(x)))
        return x + y


@odd
class FunctionalWeight(Base):
    """parameter 'weight'"""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(8, 8, 1, 1) * 0.3)

    def between(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight)


@odd
class FixedSlice(Base):
    """'mul'"""

    def __init__(self) -> None:
        super().__init__(4)

    def between(self, x: Tensor) -> Tensor:
        return x[:, :4] * torch.sigmoid(x[:, 4:8])


@odd
class AnswersToo(Base):
    """reach"""

    def between(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        held = self.held(torch.relu(self.free(x)))
        return held * 2, self.head(held)


@odd
class MeanOfChannels(Base):
    """'mean' mixes its channels"""

    def between(self, x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)


@odd
class OwnNorm(Base):
    """'mean' mixes its channels"""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def between(self, x: Tensor) -> Tensor:
        return self.scale * x / (x.square().mean(1, keepdim=True) + 1e-5).sqrt()


@odd
class Detached(Base):
    """by operators that have a gradient"""

    def between(self, x: Tensor) -> Tensor:
        return x.detach()
