"""Silero VAD, a recurrent voice detector with 25 If nodes and an LSTM: it must compile, or be refused clearly.

Model: PyPI silero-vad 6.2.3 (MIT). Data: no recording of speech is in any package used here, so a voice is synthesised
from a seed: a pulse train with vibrato through four formant resonators (Klatt 1980), with pauses and noise; the model
takes it for speech about half of the time. Every feed carries the state that the original had reached, so samples are
independent and drift does not build up. The limit of 0.01 in mean probability is this file's choice: there is no
published one.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .case import Case, Plan, write_arrays
from .sources import model_file

NAME = "silero-vad"
REFUSALS = {"onnxruntime": ("int8", "If"), "openvino": ("Conv", "rank")}
"""All its layers are in bodies of If, which int8 leaves alone; OpenVINO wants ranks that such a body does not tell."""
PLAN = Plan(
    name=NAME,
    metric="metric.py:probability_drift",
    judge="stream",
    max_drop=0.01,
    source="PyPI silero-vad 6.2.3 (MIT)",
    note="lower is better; control flow, scalar int64 input; onnxruntime refuses it with fixed shapes; synthetic voice",
)
RATE = 16_000
WINDOW, CONTEXT = 512, 64
FORMANTS = ((300, 800, 80), (900, 2200, 100), (2300, 3000, 150), (3400, 3600, 200))  # from, to, bandwidth in Hz


def build(folder: Path) -> Case:
    """200 windows of one voice calibrate, 400 of another evaluate."""
    if PLAN.is_built(folder):
        return PLAN.at(folder)
    model = model_file("silero_vad.onnx", "silero-vad==6.2.3", "silero_vad/data/silero_vad.onnx")
    PLAN.start(folder)
    shutil.copyfile(model, folder / "model.onnx")
    for name, windows, seed in (("calibration", 200, 19), ("evaluation", 400, 18)):
        sound = voice(windows * WINDOW, np.random.default_rng(seed))
        write_arrays(folder / f"{name}.npz", **streamed(folder / "model.onnx", sound))
    return PLAN.finish(folder)


def streamed(model: Path, sound: np.ndarray) -> dict[str, np.ndarray]:
    """Feeds of a stream: `input` `(N, 1, 576)` with its context, `state` `(N, 2, 1, 128)` as reached, `sr` `(N,)`."""
    from .scoring import onnxruntime_runner

    run, _ = onnxruntime_runner(model)
    padded = np.concatenate([np.zeros(CONTEXT, np.float32), sound])
    state = np.zeros((2, 1, 128), np.float32)
    inputs, states = [], []
    for begin in range(0, len(sound), WINDOW):
        window = padded[None, begin : begin + CONTEXT + WINDOW]
        inputs.append(window)
        states.append(state)
        state = run({"input": window, "state": state, "sr": np.array(RATE, np.int64)})["stateN"]
    return {"input": np.stack(inputs), "state": np.stack(states), "sr": np.full(len(inputs), RATE, np.int64)}


def voice(length: int, rng: np.random.Generator) -> np.ndarray:
    """`(length,)` float32 in [-1, 1]: syllables, short pauses, and now and then a second of faint noise."""
    pieces: list[np.ndarray] = []
    while sum(map(len, pieces)) < length:
        pieces.append(syllable(rng))
        if rng.random() < 0.4:
            pieces.append(np.zeros(int(rng.uniform(0.03, 0.15) * RATE)))
        if rng.random() < 0.05:
            pieces.append(rng.normal(0, 0.01, RATE))
    return np.concatenate(pieces)[:length].astype(np.float32)


def syllable(rng: np.random.Generator) -> np.ndarray:
    """80 to 250 ms of one voice gliding from one vowel to another."""
    from scipy.signal import lfilter

    seconds = np.arange(int(rng.uniform(0.08, 0.25) * RATE)) / RATE
    pitch = rng.uniform(90, 220) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(2, 5) * seconds + rng.uniform(0, 6)))
    pulses = np.diff(np.floor(np.cumsum(pitch) / RATE), prepend=0)
    sound = lfilter([1], [1, -0.95], pulses) + rng.normal(0, 0.05, len(seconds))
    fade = np.linspace(0, 1, len(seconds))
    for low, high, bandwidth in FORMANTS:
        radius = np.exp(-np.pi * bandwidth / RATE)
        begin, end = (
            lfilter([1 - radius], [1, -2 * radius * np.cos(2 * np.pi * hz / RATE), radius**2], sound)
            for hz in rng.uniform(low, high, 2)
        )
        sound = (1 - fade) * begin + fade * end
    sound = sound * np.hanning(len(sound)) ** 0.3
    return np.asarray(sound / np.abs(sound).max() * rng.uniform(0.1, 0.5))
