"""A small labelled model: handwritten digits of 8x8 pixels, with trained weights and the data to judge it by.

    edgewright compile examples/digits.py:model --data examples/digits.py:calibration \
        --eval-data examples/digits.py:evaluation --metric top1 --target native -o digits.ewb

Data: scikit-learn's ``load_digits``, 1,797 labelled images of the UCI set "Optical Recognition of Handwritten Digits"
(CC BY 4.0), in every install of scikit-learn. One seeded shuffle divides them, disjointly: 1,000 to train with, 200 to
calibrate, 597 to evaluate. Weights: ``digits.npz`` beside this file (Apache-2.0), made by ``train_digits.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

WEIGHTS = Path(__file__).with_name("digits.npz")
TRAINING, CALIBRATION = 1000, 200

Feeds = dict[str, npt.NDArray[np.float32]]
Label = npt.NDArray[np.int64]


class Residual(nn.Module):
    """``x + body(x)``, then ReLU: the skip connection that fusions and quantisers have to get right."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.body(x))


def conv(inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias and its batch norm; ``size`` x ``size``, padded to keep the image's size."""
    layer = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs))


class DigitsNet(nn.Module):
    """``(N, 1, 8, 8)`` in [0, 1] -> logits ``(N, 10)``: plain, residual and depthwise convolutions, 45,578 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            conv(1, 32, 3),
            nn.ReLU(),
            Residual(conv(32, 32, 3), nn.ReLU(), conv(32, 32, 3)),
            Residual(conv(32, 32, 3), nn.ReLU(), conv(32, 32, 3)),
            conv(32, 32, 3, stride=2, groups=32),
            nn.ReLU(),
            conv(32, 64, 1),
            nn.ReLU6(),
            Residual(conv(64, 64, 3, groups=64), nn.ReLU6(), conv(64, 64, 1)),
        )
        self.classify = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.features(x).mean((2, 3)))
        return logits


def model() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The trained net in evaluation mode, and an example input ``(1, 1, 8, 8)``."""
    net = DigitsNet()
    with np.load(WEIGHTS, allow_pickle=False) as arrays:
        net.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    return net.eval(), (torch.zeros(1, 1, 8, 8),)


def training() -> tuple[npt.NDArray[np.float32], Label]:
    """The 1,000 images ``(N, 1, 8, 8)`` and labels ``(N,)`` the weights were trained on."""
    images, labels = _shuffled()
    return images[:TRAINING], labels[:TRAINING]


def calibration() -> Sequence[tuple[Feeds, Label]]:
    """200 samples: feeds ``{"x": (1, 1, 8, 8)}`` and a scalar label, none of them seen in training."""
    return _samples(TRAINING, TRAINING + CALIBRATION)


def evaluation() -> Sequence[tuple[Feeds, Label]]:
    """The other 597 samples, none of them seen in training or calibration."""
    return _samples(TRAINING + CALIBRATION, None)


def _samples(start: int, stop: int | None) -> Sequence[tuple[Feeds, Label]]:
    images, labels = _shuffled()
    chosen = zip(images[start:stop], labels[start:stop], strict=True)
    return [({"x": image[None]}, np.array(label)) for image, label in chosen]


@cache
def _shuffled() -> tuple[npt.NDArray[np.float32], Label]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    order = np.random.default_rng(3).permutation(len(bunch.images))
    images = (bunch.images[order, None] / 16).astype(np.float32)  # pixels are 0..16
    return images, bunch.target[order].astype(np.int64)
