"""A small convolutional net for 8x8 digits, trained in seconds. Loadable by path: it imports no sibling."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn


class DigitsNet(nn.Module):
    """`(N, 1, 8, 8)` in [0, 1] -> `(N, 10)` logits."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
        )
        self.classify = nn.Linear(2 * width, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(self.features(image).mean((2, 3)))
        return logits


def fit(images: torch.Tensor, labels: torch.Tensor, *, epochs: int = 40, seed: int = 0) -> DigitsNet:
    """Train from a seed on `(N, 1, 8, 8)` images and `(N,)` labels."""
    torch.manual_seed(seed)
    net = DigitsNet()
    steps = epochs * (len(images) // 64)
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=steps)
    for _ in range(epochs):
        for batch in torch.randperm(len(images))[: len(images) // 64 * 64].reshape(-1, 64):
            optimiser.zero_grad()
            loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
    return net.eval()


def trained() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """The net with the weights beside this file, in eval mode, and an example input."""
    net = DigitsNet()
    net.load_state_dict(torch.load(Path(__file__).with_name("weights.pt"), weights_only=True))
    return net.eval(), (torch.zeros(1, 1, 8, 8),)
