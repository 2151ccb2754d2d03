from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from .conftest import load


@pytest.fixture(scope="module")
def fitting() -> ModuleType:
    load("cases/__main__.py").load_cases()
    return importlib.import_module("edgewright_cases.fitting")


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.fc(self.bn(self.conv(x)).relu().mean((2, 3)))
        return found


def bright_and_dark() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 256)
    images = rng.random((256, 1, 8, 8), np.float32) * 0.2 + 0.3 * labels[:, None, None, None].astype(np.float32)
    return images, labels


def fitted(fitting: ModuleType, **changes: float) -> tuple[dict[str, torch.Tensor], float]:
    torch.manual_seed(0)
    net, (images, labels) = Net(), bright_and_dark()
    fitting.fit(net, images, labels, fitting.Recipe(epochs=3, batch=32, **changes))
    return net.state_dict(), fitting.accuracy(net, images, labels)


@pytest.mark.parametrize("bfloat16", [True, False])
def test_a_net_learns_and_a_seed_gives_the_same_weights(fitting: ModuleType, bfloat16: bool) -> None:
    threads = torch.get_num_threads()
    first, right = fitted(fitting, bfloat16=bfloat16)
    again, _ = fitted(fitting, bfloat16=bfloat16)
    assert right > 0.95  # half is guessing
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert torch.get_num_threads() == threads


def test_images_are_moved_and_mirrored_and_nothing_else(fitting: ModuleType) -> None:
    image = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    padded = np.pad(image[0, 0], 1)
    windows = [padded[down : down + 4, across : across + 4] for down in range(3) for across in range(3)]
    allowed = {one.tobytes() for window in windows for one in (window, np.ascontiguousarray(window[:, ::-1]))}
    moved = fitting.shifted(np.repeat(image, 400, 0), 1, np.random.default_rng(1))
    assert moved.shape == (400, 1, 4, 4)
    assert {one[0].tobytes() for one in moved} == allowed  # all 18: each is missed with probability 1e-10


def test_weights_are_trained_again_only_for_another_recipe_or_net(fitting: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path
    source = folder / "net.py"
    source.write_text("one")
    images, labels = bright_and_dark()

    def made(recipe: object) -> int:
        fitting.weights_for(Net, source, folder, images, labels, recipe)
        return (folder / "weights.json").stat().st_mtime_ns

    recipe = fitting.Recipe(epochs=1, batch=32)
    first = made(recipe)
    assert made(recipe) == first
    source.write_text("another")
    second = made(recipe)
    assert second != first
    assert made(fitting.Recipe(epochs=1, batch=16)) != second
