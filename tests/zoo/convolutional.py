"""Convolutional networks: what phones run, and the awkward corners of Conv."""

from __future__ import annotations

import numpy as np

from .case import Case, member
from .graph import TOTAL, Graph, case, classifier, head, images, sequences


def batch_norm(graph: Graph, x: str, channels: int) -> str:
    rng = graph.rng
    parts = [rng.uniform(0.5, 1.5, channels), rng.uniform(-0.3, 0.3, channels), rng.uniform(-0.3, 0.3, channels)]
    return graph.op(
        "BatchNormalization", x, *map(graph.weight, [*parts, rng.uniform(0.5, 1.5, channels)]), epsilon=1e-5
    )


def pooled(graph: Graph, x: str) -> str:
    return graph.op("Flatten", graph.op("GlobalAveragePool", x), axis=1)


@member
def mobilenet_v3() -> Case:
    """Inverted residuals with squeeze-and-excite, hard-swish, batch norms; dynamic batch."""
    g = Graph("mobilenet_v3", 1)
    x = g.input("x", ["N", 3, 32, 32])
    x = g.op("HardSwish", batch_norm(g, g.conv(x, 3, 16, (3, 3), strides=[2, 2]), 16))
    for _ in range(3):
        wide = g.op("HardSwish", batch_norm(g, g.conv(x, 16, 48, (1, 1)), 48))
        deep = g.op("HardSwish", batch_norm(g, g.conv(wide, 48, 48, (3, 3), group=48), 48))
        squeezed = g.op("Relu", g.conv(g.op("GlobalAveragePool", deep), 48, 12, (1, 1)))
        gate = g.op("HardSigmoid", g.conv(squeezed, 12, 48, (1, 1)), alpha=1 / 6)
        x = g.op("Add", batch_norm(g, g.conv(g.op("Mul", deep, gate), 48, 16, (1, 1)), 16), x)
    x = g.op("HardSwish", g.conv(x, 16, 64, (1, 1)))
    features = g.op("HardSwish", g.dense(pooled(g, x), 64, 96))
    g.output(head(g, features, 96, 6), ["N", 6])
    return classifier(g.model(), images(3, 32, 32, 6), features)


def _segments(height: int, width: int) -> dict[str, np.ndarray]:
    """Images of noise with discs and bars; the label of a pixel says what covers it."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:height, :width]
    x = 0.3 * rng.standard_normal((TOTAL, 3, height, width))
    labels = np.zeros((TOTAL, height, width), np.int64)
    for index in range(TOTAL):
        a, b, c = rng.integers(6, height - 6, 3)
        disc = (rows - a) ** 2 + (columns - b) ** 2 < 25
        bar = np.abs(columns - c) < 3
        labels[index][disc], labels[index][bar] = 1, 2
    x += np.array([[0.0, 0.0, 0.0], [1.0, -0.5, 0.3], [-0.4, 0.8, 1.0]])[labels].transpose(0, 3, 1, 2)
    return {"x": x.astype(np.float32), "labels": labels}


def _unet(g: Graph, x: str) -> str:
    one = g.op("Relu", batch_norm(g, g.conv(x, 3, 12, (3, 3)), 12))
    two = g.op(
        "Relu", batch_norm(g, g.conv(g.op("MaxPool", one, kernel_shape=[2, 2], strides=[2, 2]), 12, 16, (3, 3)), 16)
    )
    low = g.op("Relu", g.conv(g.op("AveragePool", two, kernel_shape=[2, 2], strides=[2, 2]), 16, 24, (3, 3)))
    kernel, bias = g.weight(g.random(24, 16, 2, 2, fan_in=24)), g.weight(g.rng.uniform(-0.1, 0.1, 16))
    up = g.op("ConvTranspose", low, kernel, bias, kernel_shape=[2, 2], strides=[2, 2])
    joined = g.op("Relu", g.conv(g.op("Concat", up, two, axis=1), 32, 16, (3, 3)))
    sizes = g.op("Concat", g.op("Shape", joined, start=0, end=2), g.op("Shape", one, start=2), axis=0)
    wide = g.op("Resize", joined, "", "", sizes, mode="linear", coordinate_transformation_mode="half_pixel")
    return g.op("Relu", g.conv(g.op("Concat", wide, one, axis=1), 28, 24, (3, 3)))


def _pixel_head(g: Graph, x: str, width: int, classes: int) -> tuple[str, str]:
    """Features with channels last, and scores with channels first."""
    last = g.op("Transpose", x, perm=[0, 2, 3, 1])
    weight = g.weight(np.zeros((width, classes), np.float32), "head.w")
    scores = g.op("Add", g.op("MatMul", last, weight), g.weight(np.zeros(classes), "head.b"))
    return last, g.op("Transpose", scores, perm=[0, 3, 1, 2])


@member
def unet() -> Case:
    """Down and up again: MaxPool, AveragePool, ConvTranspose, Concat, bilinear Resize to a computed size."""
    g = Graph("unet", 2)
    features, scores = _pixel_head(g, _unet(g, g.input("x", ["N", 3, "H", "W"])), 24, 3)
    g.output(scores, ["N", 3, "H", "W"])
    return classifier(g.model(), _segments(24, 24), features, metric="mean-iou", max_drop=0.02, worst_float=0.6)


@member
def unet_argmax() -> Case:
    """The same net that answers classes: an integer output at the end of a convolution."""
    g = Graph("unet_argmax", 2)
    features, scores = _pixel_head(g, _unet(g, g.input("x", ["N", 3, 24, 24])), 24, 3)
    g.output(g.op("ArgMax", scores, axis=1, keepdims=0), ["N", 24, 24], "int64")
    return classifier(g.model(), _segments(24, 24), features, metric="mean-iou", max_drop=0.02, worst_float=0.6)


@member
def odd_convolutions() -> Case:
    """Groups of 3 and 5, asymmetric pads, reflecting Pad, SAME_UPPER, dilation, 1x7 and 7x1, PRelu, no bias."""
    g = Graph("odd_convolutions", 3)
    x = g.input("x", ["N", 3, "H", "W"])
    x = g.op("Pad", x, g.weight([0, 0, 1, 2, 0, 0, 2, 1]), mode="reflect")
    x = g.op("LeakyRelu", g.conv(x, 3, 15, (3, 4), group=3, pads=[0, 1, 1, 0]), alpha=0.1)
    x = g.op(
        "PRelu",
        g.conv(x, 15, 30, (3, 3), group=5, auto_pad="SAME_UPPER", strides=[2, 2]),
        g.weight(g.rng.uniform(0, 0.4, (30, 1, 1))),
    )
    x = g.op("Pad", x, g.weight([0, 0, 2, 2, 0, 0, 2, 2]), g.weight(np.float32(0.0)), mode="constant")
    x = g.op("Relu", g.op("Conv", x, g.weight(g.random(32, 30, 3, 3)), dilations=[2, 2], kernel_shape=[3, 3]))
    x = g.op("Relu", g.conv(g.conv(x, 32, 32, (1, 7)), 32, 64, (7, 1)))
    features = pooled(g, x)
    g.output(head(g, features, 64, 5), ["N", 5])
    return classifier(g.model(), images(3, 17, 23, 5, noise=2.0, seed=1), features)


@member
def video_3d() -> Case:
    """3-D convolutions, 3-D pooling."""
    g = Graph("video_3d", 4)
    x = g.input("x", ["N", 3, 6, 12, 12])
    x = g.op("Relu", batch_norm(g, g.conv(x, 3, 12, (3, 3, 3)), 12))
    x = g.op("MaxPool", x, kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    x = g.op("Relu", g.conv(x, 12, 32, (3, 3, 3)))
    features = pooled(g, x)
    g.output(head(g, features, 32, 4), ["N", 4])
    data = images(18, 12, 12, 4, noise=0.8, seed=2)
    return classifier(g.model(), {**data, "x": data["x"].reshape(-1, 3, 6, 12, 12)}, features)


@member
def temporal_convolutions() -> Case:
    """1-D causal convolutions with growing dilation, gated by tanh x sigmoid, with residuals (as in WaveNet)."""
    g = Graph("tcn", 5)
    x = g.op("Transpose", g.input("x", ["N", 48, 6]), perm=[0, 2, 1])
    x = g.conv(x, 6, 24, (1,))
    for power in range(3):
        padded = g.op("Pad", x, g.weight([0, 0, 2 * 2**power, 0, 0, 0]))
        value, gate = (g.conv(padded, 24, 24, (3,), dilations=[2**power], pads=[0, 0]) for _ in range(2))
        x = g.op("Add", x, g.conv(g.op("Mul", g.op("Tanh", value), g.op("Sigmoid", gate)), 24, 24, (1,)))
    features = g.op("ReduceMax", g.op("Relu", g.conv(x, 24, 64, (1,))), axes=[2], keepdims=0)
    g.output(head(g, features, 64, 5), ["N", 5])
    return classifier(g.model(), sequences(48, 6, 5, noise=1.6), features)


@member
def decomposed_norms() -> Case:
    """GroupNorm as exporters write it, InstanceNorm, LayerNorm in pieces, Mish, Swish, GELU by Erf."""
    g = Graph("decomposed_norms", 6)
    x = g.conv(g.input("x", ["N", 3, 16, 16]), 3, 16, (3, 3))
    flat = g.op("Reshape", x, g.weight([0, 4, -1]))
    normal = g.op("InstanceNormalization", flat, g.weight(np.ones(4)), g.weight(np.zeros(4)))
    x = g.op("Reshape", normal, g.weight([0, 16, 16, 16]))
    x = g.op(
        "Add",
        g.op("Mul", x, g.weight(g.rng.uniform(0.5, 1.5, (16, 1, 1)))),
        g.weight(g.rng.uniform(-0.2, 0.2, (16, 1, 1))),
    )
    x = g.op("Mul", x, g.op("Tanh", g.op("Softplus", x)))
    x = g.conv(x, 16, 24, (3, 3), strides=[2, 2])
    x = g.op("InstanceNormalization", x, g.weight(np.ones(24)), g.weight(np.zeros(24)))
    x = g.conv(g.op("Mul", x, g.op("Sigmoid", x)), 24, 32, (3, 3), strides=[2, 2])
    x = g.op("Transpose", g.op("Reshape", x, g.weight([0, 32, -1])), perm=[0, 2, 1])
    centred = g.op("Sub", x, g.op("ReduceMean", x, axes=[-1]))
    variance = g.op("ReduceMean", g.op("Pow", centred, g.weight(2.0)), axes=[-1])
    x = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.weight(1e-5))))
    x = g.dense(x, 32, 64, matmul=True)
    erf = g.op("Erf", g.op("Div", x, g.weight(np.sqrt(2.0))))
    x = g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.weight(1.0))), g.weight(0.5))
    features = g.op("Relu", g.dense(g.op("Flatten", g.op("ReduceMean", x, axes=[1])), 64, 64))
    g.output(head(g, features, 64, 4), ["N", 4])
    return classifier(g.model(), images(3, 16, 16, 4, noise=0.8, seed=3), features, worst_float=0.75)


@member
def channels_last() -> Case:
    """As TensorFlow exports it: NHWC in, Transposes around every block, log-softmax out, and the class beside it."""
    g = Graph("channels_last", 7)
    x = g.input("x", [1, 16, 16, 3])
    for channels, to in ((3, 16), (16, 24)):
        x = g.conv(g.op("Transpose", x, perm=[0, 3, 1, 2]), channels, to, (3, 3), strides=[2, 2])
        x = g.op("Clip", g.op("Transpose", x, perm=[0, 2, 3, 1]), g.weight(np.float32(0)), g.weight(np.float32(6)))
    x = g.op("Relu", g.dense(x, 24, 48, matmul=True))
    features = g.op("ReduceMean", x, axes=[1, 2], keepdims=0)
    scores = head(g, features, 48, 4)
    g.output(g.op("LogSoftmax", scores, axis=-1), [1, 4])
    g.output(g.op("ArgMax", scores, axis=-1, keepdims=0), [1], "int64")
    data = images(3, 16, 16, 4, noise=0.8, seed=4)
    return classifier(g.model(), {**data, "x": data["x"].transpose(0, 2, 3, 1)}, features)


@member
def super_resolution() -> Case:
    """PixelShuffle (DepthToSpace and as Reshape-Transpose-Reshape), a wide residual; judged by cosine."""
    g = Graph("super_resolution", 8)
    x = g.input("x", ["N", 1, "H", "W"])
    y = g.op("Tanh", g.conv(x, 1, 24, (5, 5)))
    y = g.op("Tanh", g.conv(y, 24, 12, (3, 3)))
    y = g.op("DepthToSpace", g.conv(y, 12, 16, (3, 3)), blocksize=2, mode="CRD")
    y = g.op("Relu", y)
    up = g.op(
        "Resize",
        x,
        "",
        g.weight(np.array([1, 1, 2, 2], np.float32)),
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    g.output(g.op("Add", g.conv(y, 4, 1, (3, 3)), up), ["N", 1, "H2", "W2"])
    data = images(1, 14, 18, 4, noise=0.2, seed=5)
    return case(g.model(), {"x": data["x"]}, metric="cosine", max_drop=0.01)


@member
def two_heads_over_a_pyramid() -> Case:
    """Boxes of hundreds beside scores below one, from nearest-upsampled features, joined over scales."""
    g = Graph("detector", 9)
    x = g.input("x", [1, 3, 32, 32])
    fine = g.op("Relu", g.conv(g.op("Relu", g.conv(x, 3, 16, (3, 3), strides=[2, 2])), 16, 24, (3, 3), strides=[2, 2]))
    coarse = g.op("Relu", g.conv(fine, 24, 32, (3, 3), strides=[2, 2]))
    scales = g.weight(np.array([1, 1, 2, 2], np.float32))
    up = g.op(
        "Resize",
        g.conv(coarse, 32, 24, (1, 1)),
        "",
        scales,
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )
    levels = [(g.op("Add", fine, up), 24, 8), (coarse, 32, 4)]
    boxes, scores = [], []
    for level, channels, size in levels:
        raw = g.op("Reshape", g.conv(level, channels, 4, (3, 3)), g.weight([1, 4, -1]))
        centre = g.op(
            "Mul", g.op("Sigmoid", g.op("Slice", raw, g.weight([0]), g.weight([2]), g.weight([1]))), g.weight(640.0)
        )
        extent = g.op(
            "Exp", g.op("Mul", g.op("Slice", raw, g.weight([2]), g.weight([4]), g.weight([1])), g.weight(0.5))
        )
        boxes.append(g.op("Concat", centre, g.op("Mul", extent, g.weight(320.0 / size)), axis=1))
        scores.append(g.op("Sigmoid", g.op("Reshape", g.conv(level, channels, 3, (3, 3)), g.weight([1, 3, -1]))))
    g.output(g.op("Concat", *boxes, axis=2, into="boxes"), [1, 4, 80])
    g.output(g.op("Concat", *scores, axis=2, into="scores"), [1, 3, 80])
    data = images(3, 32, 32, 4, noise=0.5, seed=6)
    return case(g.model(), {"x": data["x"]}, metric="cosine", max_drop=0.01)
