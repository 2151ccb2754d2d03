"""A super-resolution net with a quantiser operator that no runtime here has: to be refused by operator and domain.

Model: one of the ESPCN files of PyPI qonnx 1.0.0 (Apache-2.0), in the form with operators of domain `onnx.brevitas`.
There is no figure to reach: the right result is exit code 69 and a message with `Quant` and `onnx.brevitas` in it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import model_file

NAME = "custom-op"
REFUSALS = {"onnxruntime": ("Quant", "onnx.brevitas"), "openvino": ("Quant", "onnx.brevitas")}
"""What each runtime's refusal has to name: the operator and its domain."""
PLAN = Plan(
    name=NAME,
    metric="cosine",
    max_drop=0.01,
    source="PyPI qonnx 1.0.0 (Apache-2.0)",
    note="to be refused with exit code 69; the data is noise and never used",
)


def build(folder: Path) -> Case:
    """Copy the model; write a few samples of seeded noise, so that nothing but the operator can be what is refused."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    packaged = "qonnx/data/onnx/bsd300x3-espcn/nn_resize/quant_model.onnx"
    model = model_file("espcn_x2_brevitas_quant_customop.onnx", "qonnx==1.0.0", packaged)
    PLAN.start(folder)
    shutil.copyfile(model, folder / "model.onnx")
    rng = np.random.default_rng(69)
    for name in ("calibration", "evaluation"):
        write_arrays(folder / f"{name}.npz", **{"onnx::Relu_0": rng.random((8, 3, 128, 128), np.float32)})
    return PLAN.finish(folder)
