"""The networks that are timed: plain torch definitions of published architectures, with seeded random weights.

Weights do not matter for time, so nothing needs to be downloaded. Every network takes and gives what its user has,
float32 images or int64 tokens in and float32 out, whatever it computes in: casts are part of it, for every arm alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from edgewright.core.tensors import Array, Feeds, TensorSpec

if TYPE_CHECKING:
    import torch
    from torch import nn

TOKENS, VOCABULARY, WIDTH, HEADS, LAYERS, INNER = 64, 30522, 384, 12, 6, 1536
OUTPUT = "y"
_POOL = 4093
"""Weights repeat a pool of this many normal values (a prime, so that no two rows of a layer are equal): files of them
compress to next to nothing on their way to another machine."""
_LITE0 = ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3), (6, 5, 2, 192, 4),
          (6, 3, 1, 320, 1))  # fmt: skip
"""EfficientNet-Lite0: expansion, kernel, stride, channels, repeats of each stage (Tan & Le 2019, table 1, and the
published "lite" variant: no squeeze-and-excitation, ReLU6)."""
_RESNET50 = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
"""Inner channels, blocks and stride of each stage (He et al. 2015, table 1); the 3x3 convolution has the stride."""


@dataclass(frozen=True)
class Network:
    """One architecture: how it is made, and the shape of its inputs and of its output for a batch of one."""

    title: str
    make: Callable[[], nn.Module]
    inputs: Mapping[str, tuple[str, tuple[int, ...]]]
    """Name -> element type and the sizes behind the batch."""
    output: tuple[int, ...]

    def input_specs(self, batch: int) -> tuple[TensorSpec, ...]:
        """What must be fed for this batch size."""
        return tuple(TensorSpec(name, dtype, (batch, *sizes)) for name, (dtype, sizes) in self.inputs.items())

    def output_specs(self, batch: int) -> tuple[TensorSpec, ...]:
        """What comes out for this batch size."""
        return (TensorSpec(OUTPUT, "float32", (batch, *self.output)),)

    def samples(self, batch: int, count: int, seed: int) -> list[Feeds]:
        """Distinct seeded feeds: normal pixels, tokens of the whole vocabulary, masks that hide nothing."""
        rng = np.random.default_rng(seed)
        made: list[Feeds] = []
        for _ in range(count):
            feeds: dict[str, Array] = {}
            for spec in self.input_specs(batch):
                shape = tuple(int(size) for size in spec.shape or () if size is not None)
                if spec.dtype == "float32":
                    feeds[spec.name] = rng.standard_normal(shape, np.float32)
                elif spec.name == "mask":
                    feeds[spec.name] = np.ones(shape, np.int64)
                else:
                    feeds[spec.name] = rng.integers(0, VOCABULARY, shape)
            made.append(feeds)
        return made


def network(name: str, precision: str = "fp32", seed: int = 0) -> nn.Module:
    """The network in evaluation mode on the CPU, computing in ``precision`` (``fp32``, ``fp16``, ``bf16``)."""
    import torch

    made = NETWORKS[name].make().eval()
    _fill(made, seed)
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    return _float_faced(made, dtype)


def _float_faced(inner: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Casts float inputs to what the network computes in, and its answer to float32."""
    from torch import nn

    class FloatFaced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner.to(dtype)

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            cast = [one.to(dtype) if one.is_floating_point() else one for one in inputs]
            answer: torch.Tensor = self.inner(*cast).float()
            return answer

    # torch.compile keeps what it made by code object and looks through all of it at each call: a copy for each arm.
    shared = FloatFaced.forward
    code = shared.__code__.replace()
    FloatFaced.forward = FunctionType(code, shared.__globals__, "forward", None, shared.__closure__)  # type: ignore[method-assign]
    return FloatFaced().eval()


def _fill(net: nn.Module, seed: int) -> None:
    """Seeded weights of He's variance; biases stay 0 and norms as they are made."""
    import torch

    pool = np.random.default_rng(seed).standard_normal(_POOL).astype(np.float32)
    with torch.no_grad():
        for name, weight in net.named_parameters():
            if weight.ndim > 1:
                fan_in = weight[0].numel() if "embedding" not in name else 1
                gain = 2.0 if weight.ndim == 4 else 1.0
                values = np.resize(pool, tuple(weight.shape)) * np.float32(np.sqrt(gain / fan_in))
                weight.copy_(torch.from_numpy(values))
            elif name.endswith("bias"):
                weight.zero_()


@cache
def _residual_kind() -> Callable[[nn.Module, nn.Module, nn.Module], nn.Module]:
    from torch import nn

    class Residual(nn.Module):
        """``after(body(x) + shortcut(x))``."""

        def __init__(self, body: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
            super().__init__()
            self.body, self.shortcut, self.after = body, shortcut, after

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            answer: torch.Tensor = self.after(self.body(x) + self.shortcut(x))
            return answer

    return Residual


def _conv(
    entering: int, leaving: int, kernel: int, stride: int = 1, *, groups: int = 1, gain: float = 1.0
) -> list[nn.Module]:
    """A convolution without bias and its batch norm; a gain below 1 keeps sums of many residuals in range."""
    from torch import nn

    norm = nn.BatchNorm2d(leaving)
    nn.init.constant_(norm.weight, gain)
    return [nn.Conv2d(entering, leaving, kernel, stride, kernel // 2, groups=groups, bias=False), norm]


def _resnet50() -> nn.Module:
    from torch import nn

    layers: list[nn.Module] = [*_conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    width = 64
    for inner, blocks, first_stride in _RESNET50:
        for index in range(blocks):
            stride = first_stride if index == 0 else 1
            body = [*_conv(width, inner, 1), nn.ReLU(), *_conv(inner, inner, 3, stride), nn.ReLU()]
            body += _conv(inner, 4 * inner, 1, gain=0.25)
            same = stride == 1 and width == 4 * inner
            shortcut = nn.Identity() if same else nn.Sequential(*_conv(width, 4 * inner, 1, stride))
            layers.append(_residual_kind()(nn.Sequential(*body), shortcut, nn.ReLU()))
            width = 4 * inner
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))


def _efficientnet_lite0() -> nn.Module:
    from torch import nn

    layers: list[nn.Module] = [*_conv(3, 32, 3, 2), nn.ReLU6()]
    width = 32
    for expansion, kernel, first_stride, leaving, repeats in _LITE0:
        for index in range(repeats):
            stride, wide = first_stride if index == 0 else 1, width * expansion
            body = [*_conv(width, wide, 1), nn.ReLU6()] if expansion > 1 else []
            body += [*_conv(wide, wide, kernel, stride, groups=wide), nn.ReLU6(), *_conv(wide, leaving, 1)]
            block = nn.Sequential(*body)
            same = stride == 1 and width == leaving
            layers.append(_residual_kind()(block, nn.Identity(), nn.Identity()) if same else block)
            width = leaving
    layers += [*_conv(width, 1280, 1), nn.ReLU6(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


def _minilm() -> nn.Module:
    """Six layers of a BERT encoder (Devlin et al. 2018) and the mean of its tokens; attention as torch fuses it."""
    from torch import nn
    from torch.nn import functional

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.key, self.value, self.leave = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            batch = x.shape[0]
            query, key, value = (
                one(x).reshape(batch, TOKENS, HEADS, WIDTH // HEADS).transpose(1, 2)
                for one in (self.query, self.key, self.value)
            )
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
            answer: torch.Tensor = self.leave(mixed.transpose(1, 2).reshape(batch, TOKENS, WIDTH))
            return answer

    class MiniLM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.word_embedding, self.position_embedding = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(TOKENS, WIDTH)
            self.norm = nn.LayerNorm(WIDTH)
            self.attention = nn.ModuleList(Attention() for _ in range(LAYERS))
            self.inner = nn.ModuleList(
                nn.Sequential(nn.Linear(WIDTH, INNER), nn.GELU(), nn.Linear(INNER, WIDTH)) for _ in range(LAYERS)
            )
            self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2 * LAYERS))

        def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            x: torch.Tensor = self.norm(self.word_embedding(tokens) + self.position_embedding.weight)
            seen = (mask > 0)[:, None, None, :]
            for index in range(LAYERS):
                x = self.norms[2 * index](x + self.attention[index](x, seen))
                x = self.norms[2 * index + 1](x + self.inner[index](x))
            weights = mask.to(x.dtype)[:, :, None]
            return (x * weights).sum(1) / weights.sum(1)

    return MiniLM()


def _tiny() -> nn.Module:
    from torch import nn

    block = _residual_kind()(nn.Sequential(*_conv(8, 8, 3)), nn.Identity(), nn.ReLU())
    return nn.Sequential(*_conv(3, 8, 3, 2), nn.ReLU(), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10))


_PIXELS = MappingProxyType({"x": ("float32", (3, 224, 224))})
_TEXT = MappingProxyType({"tokens": ("int64", (TOKENS,)), "mask": ("int64", (TOKENS,))})
NETWORKS: Mapping[str, Network] = MappingProxyType(
    {
        "resnet50": Network("ResNet-50, 224x224", _resnet50, _PIXELS, (1000,)),
        "efficientnet-lite0": Network("EfficientNet-Lite0, 224x224", _efficientnet_lite0, _PIXELS, (1000,)),
        "minilm": Network("MiniLM-L6, 64 tokens", _minilm, _TEXT, (WIDTH,)),
        "tiny": Network("two convolutions, 32x32", _tiny, MappingProxyType({"x": ("float32", (3, 32, 32))}), (10,)),
    }
)
"""By name; ``tiny`` shows that a machine can do all this at all, and is timed only when it is asked for."""
