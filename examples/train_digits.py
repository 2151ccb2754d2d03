"""Trains the digits net and writes ``digits.npz``: ``python examples/train_digits.py`` (15 s on one core)."""

from __future__ import annotations

import numpy as np
import torch
from digits import WEIGHTS, DigitsNet, evaluation, training
from torch import nn

EPOCHS, BATCH, SEED = 60, 50, 0


def main() -> None:
    """Trains with small random shifts, prints the accuracy on the evaluation samples, writes the weights."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)  # sums in one order: the same weights on every run of one machine
    images, labels = (torch.from_numpy(array) for array in training())
    net = DigitsNet()
    optimiser = torch.optim.AdamW(net.parameters(), weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=EPOCHS * len(images) // BATCH)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(images)).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(shifted(images[batch])), labels[batch], label_smoothing=0.05).backward()
            optimiser.step()
            schedule.step()
    net.eval()
    print(f"top-1 on {len(evaluation())} held-out images: {accuracy(net):.2%}")
    arrays = {name: value.numpy() for name, value in net.state_dict().items()}
    np.savez_compressed(WEIGHTS, **arrays)


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Each image moved by -1, 0 or 1 pixel along each axis, the edge filled with the background."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    corners = torch.randint(0, 3, (len(images), 2)).tolist()
    return torch.stack([image[:, y : y + 8, x : x + 8] for image, (y, x) in zip(padded, corners, strict=True)])


def accuracy(net: nn.Module) -> float:
    """Share of the evaluation samples that ``net`` gets right."""
    with torch.no_grad():
        right = [net(torch.from_numpy(feeds["x"])).argmax() == int(label) for feeds, label in evaluation()]
    return float(torch.stack(right).float().mean())


if __name__ == "__main__":
    main()
