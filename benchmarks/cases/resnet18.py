"""ResNet-18 with seeded random weights: for speed and for the compile time of 12 million parameters, not for accuracy.

Architecture written from He et al. 2015; no trained weights. The metric is the cosine of the logits with float on crops
of photos, and a random net's logits say nothing about what quantising a trained one costs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .photos import CALIBRATION_PHOTOS, EVALUATION_PHOTOS, crops, photo
from .sources import export_onnx

NAME = "resnet18"
PLAN = Plan(
    name=NAME,
    metric="cosine",
    max_drop=0.01,
    factory="factory.py:seeded",
    net="resnet18",
    source="written from He et al. 2015; seeded random weights",
    note="random weights: speed and compile time only",
)


def build(folder: Path) -> Case:
    """50 crops of photos to calibrate, 99 crops of others to compare."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    from .nets.resnet18 import seeded

    PLAN.start(folder)
    net, example = seeded()
    export_onnx(net, example, folder / "model.onnx", ["image"], ["logits"])
    rng = np.random.default_rng(18)
    write_arrays(
        folder / "calibration.npz", image=np.concatenate([crops(photo(name), 5, rng) for name in CALIBRATION_PHOTOS])
    )
    write_arrays(
        folder / "evaluation.npz", image=np.concatenate([crops(photo(name), 11, rng) for name in EVALUATION_PHOTOS])
    )
    return PLAN.finish(folder)
