"""Trains the classifiers that are trained here: seeded, on the processor, from labelled images, by one-cycle SGD."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .case import HERE, Case, Plan, load_file, write_arrays
from .fashion_classifier import scaled
from .sources import export_onnx, fashion_mnist

if TYPE_CHECKING:
    import torch
    from torch import nn

FLIPPED = 0.5
CALIBRATION = 200


@dataclass(frozen=True)
class Recipe:
    """How a net is trained; kept beside its weights, so that a change trains anew.

    Attributes:
        epochs: passes over the images.
        rate: the largest learning rate of the cycle, reached after `warm` of all steps; SGD with momentum .9.
        batch: images per step.
        decay: weight decay, on weights of convolutions and linear layers alone.
        shift: images are moved by up to so many pixels and mirrored half of the time; 0 leaves them alone.
        clip: gradients longer than this are shortened to it; 0 leaves them alone.
        seed: of the first weights, the order of images and their shifts.
        warm: the part of all steps during which the rate rises.
        bfloat16: convolutions and matrix products compute in it while training; the weights are float32.
        threads: of torch; another number sums in another order.
    """

    epochs: int = 10
    rate: float = 0.1
    batch: int = 128
    decay: float = 5e-4
    shift: int = 2
    clip: float = 0.0
    seed: int = 5
    warm: float = 0.25
    bfloat16: bool = True
    threads: int = 1


def fit(net: nn.Module, images: np.ndarray, labels: np.ndarray, recipe: Recipe) -> float:
    """Train `net` in place and leave it in eval mode; gives the minutes it took.

    images: `(N, 1, H, W)` float32; labels: `(N,)` int64. On `recipe.threads` threads, whatever there are: the same
    machine gives the same bytes.
    """
    import torch
    from torch.nn import functional

    threads = torch.get_num_threads()
    torch.set_num_threads(recipe.threads)
    net.to(memory_format=torch.channels_last)  # a third less time in bfloat16
    optimiser = torch.optim.SGD(_groups(net, recipe), lr=recipe.rate, momentum=0.9, nesterov=True)
    steps = recipe.epochs * (len(images) // recipe.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.rate, steps, pct_start=recipe.warm)
    started = time.monotonic()
    net.train()
    for epoch in range(recipe.epochs):
        losses = []
        for x, wanted in _batches(images, labels, recipe, epoch):
            with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16):
                logits = net(x)
            loss = functional.cross_entropy(logits.float(), wanted)
            optimiser.zero_grad()
            loss.backward()
            if recipe.clip:
                torch.nn.utils.clip_grad_norm_(net.parameters(), recipe.clip)
            optimiser.step()
            cycle.step()
            losses.append(float(loss.detach()))
        minutes = (time.monotonic() - started) / 60
        print(f"  epoch {epoch + 1}/{recipe.epochs}: loss {np.mean(losses):.4f}, {minutes:.1f} min", file=sys.stderr)
    net.eval().to(memory_format=torch.contiguous_format)
    torch.set_num_threads(threads)
    return (time.monotonic() - started) / 60


def build_fashion(plan: Plan, folder: Path, net: str, recipe: Recipe) -> Case:
    """A case of Fashion-MNIST whose class `net` is trained here, or was by an earlier run of this recipe.

    The first 200 training images calibrate; the other 59,800 train, with labels in `training.npz` and without in
    `training-unlabelled.npz`; the 10,000 test images evaluate.
    """
    train, train_labels = fashion_mnist("train")
    test, test_labels = fashion_mnist("test")
    plan.start(folder)
    x, labels = scaled(train[CALIBRATION:]), train_labels[CALIBRATION:]
    module = load_file(folder / "factory.py")
    fitted = weights_for(getattr(module, net), HERE / "nets" / f"{plan.net}.py", folder, x, labels, recipe)
    print(f"{plan.name}: {accuracy(fitted, scaled(test), test_labels):.2%} of the test images", file=sys.stderr)
    export_onnx(fitted, module.trained()[1], folder / "model.onnx", ["x"], ["logits"])
    write_arrays(folder / "calibration.npz", x=scaled(train[:CALIBRATION]), labels=train_labels[:CALIBRATION])
    write_arrays(folder / "training.npz", x=x, labels=labels)
    write_arrays(folder / "training-unlabelled.npz", x=x)
    write_arrays(folder / "evaluation.npz", x=scaled(test), labels=test_labels)
    return plan.finish(folder)


def weights_for(
    build: type[nn.Module], source: Path, folder: Path, images: np.ndarray, labels: np.ndarray, recipe: Recipe
) -> nn.Module:
    """The net in eval mode with `weights.pt` of `folder`, trained first where no run of this recipe left them there.

    `source` is the file of the architecture: weights of another version of it are trained again.
    """
    import torch

    torch.manual_seed(recipe.seed)
    net = build()
    weights, record = folder / "weights.pt", folder / "weights.json"
    wanted = {**asdict(recipe), "net": source.read_text(encoding="utf-8"), "images": len(images)}
    if weights.is_file() and record.is_file() and json.loads(record.read_text(encoding="utf-8"))["from"] == wanted:
        net.load_state_dict(torch.load(weights, weights_only=True))
        return net.eval()
    record.unlink(missing_ok=True)
    minutes = fit(net, images, labels, recipe)
    torch.save(net.state_dict(), weights)
    record.write_text(json.dumps({"from": wanted, "minutes": round(minutes, 1)}, indent=1) + "\n", encoding="utf-8")
    return net


def accuracy(net: nn.Module, images: np.ndarray, labels: np.ndarray, batch: int = 500) -> float:
    """The part of `images` whose largest logit is that of the label."""
    import torch

    with torch.no_grad():
        right = sum(
            int((net(torch.from_numpy(images[at : at + batch])).argmax(1).numpy() == labels[at : at + batch]).sum())
            for at in range(0, len(images), batch)
        )
    return right / len(images)


def _groups(net: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    matrices = [weight for weight in net.parameters() if weight.ndim > 1]
    vectors = [weight for weight in net.parameters() if weight.ndim <= 1]
    return [{"params": matrices, "weight_decay": recipe.decay}, {"params": vectors, "weight_decay": 0.0}]


def _batches(
    images: np.ndarray, labels: np.ndarray, recipe: Recipe, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch in an order, with shifts and mirrorings, that depend on seed and epoch alone."""
    import torch

    rng = np.random.default_rng((recipe.seed, epoch))
    order = rng.permutation(len(images))
    for at in range(0, len(images) - recipe.batch + 1, recipe.batch):
        chosen = order[at : at + recipe.batch]
        x = images[chosen]
        if recipe.shift:
            x = shifted(x, recipe.shift, rng)
        yield torch.from_numpy(x), torch.from_numpy(labels[chosen])


def shifted(images: np.ndarray, reach: int, rng: np.random.Generator) -> np.ndarray:
    """Each image moved by up to `reach` pixels either way, zeros moving in, and mirrored half of the time."""
    height, width = images.shape[2:]
    padded = np.pad(images, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    down = rng.integers(0, 2 * reach + 1, len(images))[:, None] + np.arange(height)
    across = rng.integers(0, 2 * reach + 1, len(images))[:, None] + np.arange(width)
    across = np.where(rng.random(len(images))[:, None] < FLIPPED, across[:, ::-1], across)
    moved: np.ndarray = padded[
        np.arange(len(images))[:, None, None, None],
        np.arange(images.shape[1])[:, None, None],
        down[:, None, :, None],
        across[:, None, None, :],
    ]
    return np.ascontiguousarray(moved)
