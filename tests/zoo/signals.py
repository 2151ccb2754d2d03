"""Signal-processing front ends: STFT, mel filters, DFT, and the same by convolution."""

from __future__ import annotations

import numpy as np

from .case import Case, member
from .convolutional import pooled
from .graph import Graph, classifier, head, waves

LENGTH, FRAME, HOP = 1024, 128, 64


def _log(g: Graph, power: str) -> str:
    return g.op("Log", g.op("Add", power, g.weight(1e-6)))


def _recogniser(g: Graph, spectrum: str, channels: int = 1) -> str:
    """(N, channels, time, bands) -> features (N, 64)."""
    x = g.op("Relu", g.conv(spectrum, channels, 16, (3, 3), strides=[1, 2]))
    x = g.op("Relu", g.conv(x, 16, 32, (3, 3), strides=[2, 2]))
    return pooled(g, g.op("Relu", g.conv(x, 32, 64, (3, 3))))


@member
def stft_and_mel_filters() -> Case:
    """STFT and MelWeightMatrix as operators, log of the power, 2-D convolutions."""
    g = Graph("mel", 41)
    x = g.input("x", [1, LENGTH])
    window = g.weight(np.hanning(FRAME))
    spectrum = g.op(
        "STFT", g.op("Unsqueeze", x, g.weight([2])), g.weight(np.array(HOP)), window, g.weight(np.array(FRAME))
    )
    power = g.op("ReduceSumSquare", spectrum, axes=[3], keepdims=0)
    filters = g.op(
        "MelWeightMatrix",
        *(g.weight(np.array(number)) for number in (20, FRAME, 8000)),
        g.weight(np.float32(60.0)),
        g.weight(np.float32(3900.0)),
    )
    mel = _log(g, g.op("MatMul", power, filters))
    features = _recogniser(g, g.op("Unsqueeze", mel, g.weight([1])))
    g.output(head(g, features, 64, 5), [1, 5])
    codes, says = {"openvino": 69}, {"openvino": "MelWeightMatrix"}
    return classifier(g.model(), waves(LENGTH, 5, noise=2.0), features, codes=codes, says=says)


@member
def dft_of_frames() -> Case:
    """Frames by Gather, a window, DFT (opset 20), magnitudes, convolutions over time."""
    g = Graph("dft", 42)
    x = g.input("x", [1, LENGTH])
    places = np.arange(0, LENGTH - FRAME + 1, HOP)[:, None] + np.arange(FRAME)
    frames = g.op("Mul", g.op("Gather", x, g.weight(places), axis=1), g.weight(np.hanning(FRAME)))
    frames = g.op("Unsqueeze", frames, g.weight([3]))
    spectrum = g.op("DFT", frames, "", g.weight(np.array(2)), onesided=1)
    power = g.op("ReduceSum", g.op("Mul", spectrum, spectrum), g.weight([3]), keepdims=0)
    features = _recogniser(g, g.op("Unsqueeze", _log(g, power), g.weight([1])))
    g.output(head(g, features, 64, 5), [1, 5])
    return classifier(g.model(20), waves(LENGTH, 5, seed=1), features, codes={"openvino": 69}, says={"openvino": "DFT"})


@member
def spectrogram_by_convolution() -> Case:
    """Sines and cosines as convolution kernels (as torch libraries export an STFT), squares, mel, log, layers."""
    g = Graph("conv_stft", 43)
    x = g.op("Unsqueeze", g.input("x", ["N", LENGTH]), g.weight([1]))
    bands = FRAME // 2 + 1
    angle = 2 * np.pi * np.arange(bands)[:, None] * np.arange(FRAME) / FRAME
    kernels = np.concatenate([np.cos(angle), np.sin(angle)])[:, None] * np.hanning(FRAME)
    spectrum = g.op("Conv", x, g.weight(kernels), strides=[HOP], kernel_shape=[FRAME], pads=[FRAME // 2, FRAME // 2])
    real, imaginary = g.ops("Split", spectrum, g.weight([bands, bands]), count=2, axis=1)
    power = g.op("Add", g.op("Pow", real, g.weight(2.0)), g.op("Pow", imaginary, g.weight(2.0)))
    mel = g.op("MatMul", g.op("Transpose", power, perm=[0, 2, 1]), g.weight(np.abs(g.random(bands, 24, fan_in=bands))))
    features = _recogniser(g, g.op("Unsqueeze", _log(g, mel), g.weight([1])))
    g.output(head(g, features, 64, 5), ["N", 5])
    return classifier(g.model(), waves(LENGTH, 5, noise=1.5, seed=2), features)


@member
def quiet_and_loud() -> Case:
    """Fourteen orders of magnitude in the power spectrum before the logarithm, fed to a dense layer."""
    g = Graph("quiet", 44)
    x = g.op("Mul", g.input("x", ["N", 256]), g.weight(1e-4))
    angle = 2 * np.pi * np.arange(64)[:, None] * np.arange(256) / 256
    real, imaginary = (
        g.op("MatMul", x, g.weight(part(angle).T * np.hanning(256)[:, None])) for part in (np.cos, np.sin)
    )
    power = g.op("Add", g.op("Mul", real, real), g.op("Mul", imaginary, imaginary))
    level = g.op("Log", g.op("Add", power, g.weight(1e-12)))
    x = g.op("Relu", g.dense(g.op("Mul", g.op("Add", level, g.weight(14.0)), g.weight(0.3)), 64, 96))
    features = g.op("Relu", g.dense(x, 96, 96))
    g.output(head(g, features, 96, 5), ["N", 5])
    return classifier(g.model(), waves(256, 5, noise=0.6, seed=3), features)
