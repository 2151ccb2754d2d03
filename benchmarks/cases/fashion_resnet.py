"""A residual net of 0.9 M parameters (a ResNet-8, wide): accuracy on the 10,000 test images of Fashion-MNIST.

It is trained here, in some minutes. Data: Fashion-MNIST (Zalando, MIT), Debian package dataset-fashion-mnist;
calibration and training images are of the training set, evaluation is the whole test set.
"""

from __future__ import annotations

from pathlib import Path

from .case import Case, Plan
from .fitting import Recipe, build_fashion

NAME = "fashion-resnet"
PLAN = Plan(
    name=NAME,
    metric="top1",
    max_drop=0.005,
    shapes="x=1,1,28,28",
    factory="factory.py:trained",
    net="fashion_resnet",
    train=True,
    source="trained by this case on Fashion-MNIST (MIT)",
    note="the 10,000 test images; calibration and training from the training images",
)
RECIPE = Recipe(epochs=6, threads=2)


def build(folder: Path) -> Case:
    """Train where no earlier run of this recipe left weights, and write the case."""
    return PLAN.at(folder) if PLAN.is_built(folder) else build_fashion(PLAN, folder, "FashionResNet", RECIPE)
