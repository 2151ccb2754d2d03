"""Residual, depthwise, squeeze-excite, hard-swish net of 50 k parameters: accuracy on Fashion-MNIST's 10,000 images.

Data: Fashion-MNIST (Zalando, MIT), Debian package dataset-fashion-mnist. Calibration and training images are of the
training set, evaluation is the whole test set.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import fashion_mnist, model_file

NAME = "fashion-classifier"
PLAN = Plan(
    name=NAME,
    metric="top1",
    max_drop=0.005,
    shapes="x=1,1,28,28",
    factory="factory.py:trained",
    net="fashion_classifier",
    train=True,
    source="trained for this project on Fashion-MNIST (MIT)",
    note="the 10,000 test images; calibration from the training images",
)
CALIBRATION = 200
TRAINING = 20_000


def build(folder: Path) -> Case:
    """Write the case; the first 200 training images calibrate, the next 20,000 are there to train with."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    weights, exported = model_file("trained/fashion_classifier.pt"), model_file("trained/fashion_classifier.onnx")
    train, train_labels = fashion_mnist("train")
    test, test_labels = fashion_mnist("test")
    PLAN.start(folder)
    shutil.copyfile(weights, folder / "weights.pt")
    shutil.copyfile(exported, folder / "model.onnx")
    write_arrays(folder / "calibration.npz", x=scaled(train[:CALIBRATION]), labels=train_labels[:CALIBRATION])
    chosen = slice(CALIBRATION, CALIBRATION + TRAINING)
    write_arrays(folder / "training.npz", x=scaled(train[chosen]), labels=train_labels[chosen])
    write_arrays(folder / "evaluation.npz", x=scaled(test), labels=test_labels)
    return PLAN.finish(folder)


def scaled(images: np.ndarray) -> np.ndarray:
    """`(N, 28, 28)` uint8 -> `(N, 1, 28, 28)` float32 in [0, 1]."""
    return images[:, None].astype(np.float32) / 255
