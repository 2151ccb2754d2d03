"""Small nets of every structure that pruning meets, by name; each with example inputs of a batch of 2."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

Net = tuple[nn.Module, tuple[Tensor, ...]]
NETS: dict[str, Callable[[], Net]] = {}


def net(shape: tuple[int, ...]) -> Callable[[type[nn.Module]], type[nn.Module]]:
    """Puts a class into ``NETS``; its input is of ``shape``, float."""

    def put(made: type[nn.Module]) -> type[nn.Module]:
        NETS[made.__name__] = lambda: (seeded(made), (torch.randn(shape, generator=torch.Generator().manual_seed(1)),))
        return made

    return put


def seeded(made: Callable[[], nn.Module]) -> nn.Module:
    """A net in evaluation mode whose norms' statistics are not those of a fresh one."""
    torch.manual_seed(0)
    module = made()
    for layer in module.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None:
            nn.init.uniform_(layer.running_mean, -0.5, 0.5)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.uniform_(layer.weight, 0.5, 1.5)
    return module.eval()


def block(inputs: int, outputs: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, groups=groups, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


@net((2, 3, 16, 16))
class Plain(nn.Module):
    """Convolutions, then a flatten whose rows belong to channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a = block(3, 8, 2)
        self.b = nn.Conv2d(8, 12, 3, 2, 1)
        self.act = nn.PReLU(12)
        self.fc1 = nn.Linear(12 * 16, 20)
        self.fc2 = nn.Linear(20, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.b(self.a(x))).flatten(1)
        y: Tensor = self.fc2(torch.relu(self.fc1(x)))
        return y


@net((2, 3, 16, 16))
class ResidualNet(nn.Module):
    """Two blocks round one stream, and a projected shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8)
        self.c1, self.c2 = block(8, 8), nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8))
        self.d1, self.d2 = block(8, 16, 2), nn.Sequential(nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16))
        self.short = nn.Conv2d(8, 16, 1, 2)
        self.fc = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.c2(self.c1(x)))
        x = torch.relu(self.short(x) + self.d2(self.d1(x)))
        y: Tensor = self.fc(x.mean((2, 3)))
        return y


@net((2, 3, 16, 16))
class Depthwise(nn.Module):
    """Inverted residuals: pointwise, depthwise, pointwise."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8, 2)
        self.up, self.dw, self.down = block(8, 24), block(24, 24, 1, 24), nn.Conv2d(24, 8, 1)
        self.multiplied = block(8, 16, 1, 8)
        self.head = nn.Conv2d(16, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.down(self.dw(self.up(x)))
        y: Tensor = self.head(self.multiplied(x)).mean((2, 3))
        return y


@net((2, 3, 16, 16))
class Grouped(nn.Module):
    """A convolution of 4 groups: a group goes with all that it reads and gives."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = block(3, 16), block(16, 24, 2, 4), block(24, 8)
        self.norm = nn.GroupNorm(4, 8)
        self.d = nn.Conv2d(8, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.d(self.norm(self.c(self.b(self.a(x)))))
        return y.mean((2, 3))


@net((2, 3, 16, 16))
class Dense(nn.Module):
    """Each layer reads all before it, by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = block(3, 8)
        self.layers = nn.ModuleList(block(8 + 4 * i, 4) for i in range(3))
        self.norm = nn.BatchNorm2d(20)
        self.last = nn.Conv2d(20, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        y: Tensor = self.last(torch.relu(self.norm(x))).mean((2, 3))
        return y


@net((2, 3, 16, 16))
class SqueezeExcite(nn.Module):
    """Gates by 1x1 convolutions, and by linear layers behind a view."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = block(3, 12), block(12, 16)
        self.down1, self.up1 = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.gate = nn.Sequential(nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, 16), nn.Sigmoid())
        self.c = nn.Conv2d(16, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x * torch.sigmoid(self.up1(torch.relu(self.down1(x.mean((2, 3), keepdim=True)))))
        x = self.b(x)
        n, c, _, _ = x.shape
        x = x * self.gate(self.pool(x).view(n, c)).view(n, c, 1, 1)
        y: Tensor = self.c(x)
        return y.amax((2, 3))


@net((2, 1, 32))
class Signal(nn.Module):
    """One-dimensional convolutions, flattened into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(1, 6, 5, 2, 2), nn.Conv1d(6, 10, 5, 2, 2)
        self.norm = nn.BatchNorm1d(10)
        self.fc = nn.Linear(80, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.b(torch.relu(self.a(x))))
        y: Tensor = self.fc(x.reshape(x.shape[0], -1))
        return y


@net((2, 1, 8, 12))
class Transposed(nn.Module):
    """Images that linear layers read by column, and by place with the channels innermost."""

    def __init__(self) -> None:
        super().__init__()
        self.a = block(1, 6, 2)
        self.columns, self.c = nn.Linear(24, 14), nn.Conv1d(14, 7, 1)
        self.fc = nn.Linear(42, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        n, c, h, w = x.shape
        x = torch.relu(self.columns(x.permute(3, 0, 1, 2).reshape(w, n, c * h)))
        x = torch.relu(self.c(x.permute(1, 2, 0)))
        y: Tensor = self.fc(x.transpose(1, 2).flatten(1))
        return y


@net((2, 4, 8, 8))
class Decoder(nn.Module):
    """Transposed convolutions up to an image, one of them depthwise."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.ConvTranspose2d(4, 12, 4, 2, 1)
        self.norm = nn.InstanceNorm2d(12, affine=True)
        self.b = nn.ConvTranspose2d(12, 12, 3, 1, 1, groups=12)
        self.c = nn.ConvTranspose2d(12, 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.c(torch.relu(self.b(torch.relu(self.norm(self.a(x))))))
        return torch.tanh(y)


@net((2, 3, 16, 16))
class UNet(nn.Module):
    """Skips by concatenation, up by transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.d1, self.d2, self.mid = block(3, 8), block(8, 16, 2), block(16, 24, 2)
        self.up2, self.u2 = nn.ConvTranspose2d(24, 16, 2, 2), block(32, 16)
        self.up1, self.u1 = nn.ConvTranspose2d(16, 8, 2, 2), block(16, 8)
        self.out = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        a = self.d1(x)
        b = self.d2(a)
        y = self.u2(torch.cat([self.up2(self.mid(b)), b], 1))
        z: Tensor = self.out(self.u1(torch.cat([self.up1(y), a], 1)))
        return z


@net((2, 3, 32, 32))
class Pyramid(nn.Module):
    """Features of three scales added on the way down, one head used at each."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = block(3, 8, 2), block(8, 12, 2), block(12, 16, 2)
        self.lateral = nn.ModuleList(nn.Conv2d(width, 10, 1) for width in (8, 12, 16))
        self.tower = block(10, 14)
        self.classes, self.boxes = nn.Conv2d(14, 3, 1), nn.Conv2d(14, 4, 1)

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        a = self.a(x)
        b = self.b(a)
        c = self.lateral[2](self.c(b))
        b = self.lateral[1](b) + functional.interpolate(c, scale_factor=2.0, mode="nearest")
        a = self.lateral[0](a) + functional.interpolate(b, scale_factor=2.0, mode="nearest")
        towers = [self.tower(level) for level in (a, b, c)]
        return {"classes": [self.classes(t) for t in towers], "boxes": [self.boxes(t) for t in towers]}


@net((2, 3, 16, 16))
class CrossStage(nn.Module):
    """Halves of one layer, one of them read again and again, all joined: as detectors' blocks are written."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.halves = block(3, 6, 2), block(6, 16)
        self.steps = nn.ModuleList(nn.Sequential(block(8, 5), block(5, 8)) for _ in range(2))
        self.joined, self.head = block(32, 12), nn.Conv2d(12, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = list(self.halves(self.stem(x)).chunk(2, 1))
        for step in self.steps:
            parts.append(parts[-1] + step(parts[-1]))
        y: Tensor = self.head(self.joined(torch.cat(parts, 1)))
        return y.mean((2, 3))


@net((2, 10))
class Gated(nn.Module):
    """A perceptron with a gate in one layer's two halves, and one in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.down = nn.Linear(10, 24), nn.Linear(12, 16)
        self.gate, self.value, self.last = nn.Linear(16, 14), nn.Linear(16, 14), nn.Linear(14, 4)
        self.scale = nn.Parameter(torch.rand(14) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.both(x).chunk(2, 1)
        x = self.down(value * torch.sigmoid(gate))
        y: Tensor = self.last(functional.silu(self.gate(x)) * self.value(x) * self.scale)
        return y
