"""Numbers of badly matched sizes: where a careless int8 falls apart."""

from __future__ import annotations

import numpy as np

from .case import Case, member
from .convolutional import pooled
from .graph import Graph, classifier, head, images


@member
def depthwise_of_five_magnitudes() -> Case:
    """Each depthwise channel has weights of its own size, 1e-3 to 1e2, undone by the next layer."""
    g = Graph("magnitudes", 51)
    x = g.op("Relu", g.conv(g.input("x", ["N", 3, 16, 16]), 3, 24, (3, 3), strides=[2, 2]))
    size = np.logspace(-3, 2, 24)
    g.rng.shuffle(size)
    depthwise = g.weight(g.random(24, 1, 3, 3) * size[:, None, None, None])
    bias = g.weight(g.rng.uniform(-0.1, 0.1, 24) * size)
    x = g.op("Relu", g.op("Conv", x, depthwise, bias, group=24, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    x = g.op("Relu", g.op("Conv", x, g.weight(g.random(64, 24, 1, 1) / size[:, None, None]), g.weight(np.zeros(64))))
    features = pooled(g, x)
    g.output(head(g, features, 64, 5), ["N", 5])
    return classifier(g.model(), images(3, 16, 16, 5, seed=31, noise=0.8), features)


@member
def one_loud_channel() -> Case:
    """One channel of the activations is a thousand times the others, and the classes are in the others."""
    g = Graph("loud", 52)
    x = g.op("Relu", g.conv(g.input("x", ["N", 3, 16, 16]), 3, 24, (3, 3), strides=[2, 2]))
    gain = np.ones((24, 1, 1), np.float32)
    gain[7] = 1000.0
    x = g.op("Mul", x, g.weight(gain))
    kernel = g.random(48, 24, 3, 3)
    kernel[:, 7] *= 1e-3
    x = g.op("Relu", g.op("Conv", x, g.weight(kernel), g.weight(np.zeros(48)), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    features = pooled(g, g.op("Relu", g.conv(x, 48, 64, (1, 1))))
    g.output(head(g, features, 64, 5), ["N", 5])
    return classifier(g.model(), images(3, 16, 16, 5, seed=32, noise=1.0), features)


@member
def loud_input_column() -> Case:
    """A table whose last column (a price) is a million times the others (ratios)."""
    g = Graph("table", 53)
    scale = np.ones(12, np.float32)
    scale[11] = 1e6
    first = g.random(12, 64, fan_in=12) / scale[:, None]
    x = g.op("Relu", g.op("Gemm", g.input("x", ["N", 12]), g.weight(first), g.weight(g.rng.uniform(-0.3, 0.3, 64))))
    features = g.op("Relu", g.dense(x, 64, 64))
    g.output(head(g, features, 64, 4), ["N", 4])
    data = images(12, 1, 1, 4, seed=33, noise=0.5)
    return classifier(g.model(), {**data, "x": data["x"].reshape(-1, 12) * scale}, features)


@member
def dead_and_tiny() -> Case:
    """All-zero kernels, denormal weights, an input plane that is constant, a bias that dwarfs its weights."""
    g = Graph("dead", 54)
    x = g.input("x", ["N", 4, 16, 16])
    kernel = g.random(24, 4, 3, 3)
    kernel[3], kernel[4], kernel[5] = 0.0, 1e-40, 1e-20
    bias = g.rng.uniform(-0.2, 0.2, 24).astype(np.float32)
    bias[5], bias[6] = 50.0, -80.0
    x = g.op(
        "Relu",
        g.op("Conv", x, g.weight(kernel), g.weight(bias), kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    )
    silent = g.op("Relu", g.op("Conv", x, g.weight(np.zeros((8, 24, 1, 1), np.float32)), g.weight(np.full(8, -1.0))))
    x = g.op("Concat", x, silent, axis=1)
    mixing = g.random(64, 32, 3, 3)
    mixing[:, 5] *= 1e-2
    features = pooled(g, g.op("Relu", g.op("Conv", x, g.weight(mixing), kernel_shape=[3, 3], pads=[1, 1, 1, 1])))
    g.output(head(g, features, 64, 5), ["N", 5])
    data = images(4, 16, 16, 5, seed=34, noise=1.4)
    plane = data["x"].copy()
    plane[:, 3] = 0.5
    return classifier(g.model(), {**data, "x": plane}, features)


@member
def all_weights_tiny() -> Case:
    """Weights of 1e-12 through four layers, undone by one multiplication at the end; nothing may underflow to zero."""
    g = Graph("tiny", 55)
    x = g.input("x", ["N", 3, 16, 16])
    channels = 3
    for to in (16, 24, 48):
        kernel = g.weight(1e-10 * g.random(to, channels, 3, 3))
        x = g.op("Relu", g.op("Conv", x, kernel, g.weight(np.zeros(to)), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
        channels = to
    features = g.op("Mul", g.op("Mul", pooled(g, x), g.weight(1e15)), g.weight(1e15))
    g.output(head(g, features, 48, 5), ["N", 5])
    return classifier(g.model(), images(3, 16, 16, 5, seed=35, noise=1.2), features)
