"""A small net trained in seconds on scikit-learn's digits: accuracy on a held split. Needs scikit-learn and torch.

Data: `load_digits`, 1,797 labelled 8x8 images of the UCI set (CC BY 4.0), in every install of scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import export_onnx

NAME = "digits"
PLAN = Plan(
    name=NAME,
    metric="top1",
    max_drop=0.005,
    shapes="image=1,1,8,8",
    factory="factory.py:trained",
    net="digits",
    train=True,
    source="trained here on scikit-learn's load_digits (UCI, CC BY 4.0)",
    note="597 held images: one image is 0.17 points",
)
TRAINING = 1000
CALIBRATION = 200


def build(folder: Path) -> Case:
    """Train, export and write: 1,000 images train, 200 calibrate, 597 evaluate, after one seeded shuffle."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    import torch
    from sklearn.datasets import load_digits

    from .nets.digits import fit

    PLAN.start(folder)
    bunch = load_digits()
    order = np.random.default_rng(3).permutation(len(bunch.images))
    images = (bunch.images[order, None] / 16).astype(np.float32)
    labels = bunch.target[order].astype(np.int64)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in one order: the same weights on every run of one machine
    net = fit(torch.from_numpy(images[:TRAINING]), torch.from_numpy(labels[:TRAINING]))
    torch.set_num_threads(threads)
    torch.save(net.state_dict(), folder / "weights.pt")
    batch = {0: torch.export.Dim("batch")}
    export_onnx(net, (torch.zeros(2, 1, 8, 8),), folder / "model.onnx", ["image"], ["logits"], batch)
    until = TRAINING + CALIBRATION
    write_arrays(folder / "training.npz", image=images[:TRAINING], labels=labels[:TRAINING])
    write_arrays(folder / "calibration.npz", image=images[TRAINING:until], labels=labels[TRAINING:until])
    write_arrays(folder / "evaluation.npz", image=images[until:], labels=labels[until:])
    return PLAN.finish(folder)
