"""Anchor-free detector with a feature pyramid on generated scenes with exact boxes: mAP at IoU .5, and at .75.

Scenes: one to four Fashion-MNIST items (MIT) of 24 to 44 pixels pasted on a noisy gradient of 96x96, none overlapping;
boxes are exact by construction. Calibration and training scenes are made of training images, evaluation scenes of test
images.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import fashion_mnist, model_file

NAME = "fashion-detector"
PLAN = Plan(
    name=NAME,
    metric="metric.py:map50",
    judge="detection",
    max_drop=0.01,
    shapes="x=1,1,96,96",
    factory="factory.py:trained",
    net="fashion_detector",
    train=True,
    second_metric="metric.py:map75",
    second_max_drop=0.01,
    source="trained for this project on scenes of Fashion-MNIST items (MIT)",
    note="400 generated scenes of test items; boxes come out of the graph decoded, suppression is outside",
)
TRAINING = 4000
SIZE = 96
ITEMS = 4
INK = 24  # grey levels above which a pixel belongs to the item
GAP = 2  # pixels two boxes must stay apart
BOX_SLOTS = ITEMS
Box = tuple[int, int, int, int, int]


def build(folder: Path) -> Case:
    """Write 200 calibration, 4,000 training and 400 evaluation scenes.

    Seed 7 gives the scenes the net was first rated on.
    """
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    weights, exported = model_file("trained/fashion_detector.pt"), model_file("trained/fashion_detector.onnx")
    train, test = fashion_mnist("train"), fashion_mnist("test")
    PLAN.start(folder)
    shutil.copyfile(weights, folder / "weights.pt")
    shutil.copyfile(exported, folder / "model.onnx")
    for name, (images, classes), count, seed in (
        ("calibration", train, 200, 5),
        ("training", train, TRAINING, 6),
        ("evaluation", test, 400, 7),
    ):
        canvases, boxes = scenes(images, classes, count, seed)
        write_arrays(folder / f"{name}.npz", x=canvases, labels=boxes)
    return PLAN.finish(folder)


def scenes(images: np.ndarray, classes: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`(count, 1, 96, 96)` float32 in [0, 1] and `(count, BOX_SLOTS, 5)` int64 of xyxy and class, padded with -1."""
    rng = np.random.default_rng(seed)
    labels = np.full((count, BOX_SLOTS, 5), -1, np.int64)
    canvases = np.empty((count, 1, SIZE, SIZE), np.float32)
    for i in range(count):
        canvases[i, 0], boxes = scene(images, classes, rng)
        for j, box in enumerate(boxes):
            labels[i, j] = box
    return canvases, labels


def scene(images: np.ndarray, classes: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, list[Box]]:
    """One canvas and its boxes. The order of draws is that of the training scenes: changing it changes the data."""
    gradient = np.linspace(rng.uniform(0, 90), rng.uniform(0, 90), SIZE)
    slope = gradient[None] if rng.random() < 0.5 else gradient[:, None]
    canvas = slope + rng.normal(0, 12, (SIZE, SIZE))
    boxes: list[Box] = []
    for _ in range(rng.integers(1, ITEMS + 1)):
        j = int(rng.integers(len(images)))
        side = int(rng.integers(24, 45))
        item = enlarged(images[j].astype(np.float32), side)
        inked = item > INK
        if inked.sum() < 60:
            continue
        rows, columns = np.where(inked)
        top, left = int(rng.integers(0, SIZE - side + 1)), int(rng.integers(0, SIZE - side + 1))
        x0, x1, y0, y1 = (int(v) for v in (columns.min(), columns.max() + 1, rows.min(), rows.max() + 1))
        box = (left + x0, top + y0, left + x1, top + y1, int(classes[j]))
        if any(touches(box, other) for other in boxes):
            continue
        canvas[top : top + side, left : left + side][inked] = item[inked]
        boxes.append(box)
    return np.clip(canvas, 0, 255).astype(np.float32) / 255, boxes


def touches(a: Box, b: Box) -> bool:
    """True where two boxes overlap or come closer than GAP pixels."""
    across = min(a[2], b[2]) > max(a[0], b[0]) - GAP
    down = min(a[3], b[3]) > max(a[1], b[1]) - GAP
    return across and down


def enlarged(image: np.ndarray, side: int) -> np.ndarray:
    """Bilinear `(28, 28)` -> `(side, side)` with half-pixel centres: the interpolation the scenes were trained with."""
    import torch

    tensor = torch.from_numpy(image[None, None])
    return np.asarray(torch.nn.functional.interpolate(tensor, (side, side), mode="bilinear")[0, 0].numpy())
