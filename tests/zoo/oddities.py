"""Several inputs, other types, shared and computed weights, outputs in odd places, old opsets, other domains."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from .case import Array, Case, member
from .convolutional import pooled
from .graph import TOTAL, Graph, case, classifier, head, images, tokens


@member
def image_words_and_weights() -> Case:
    """An image, int64 words and a float mask go in; scores, boxes of hundreds and a count come out."""
    g = Graph("several", 71)
    picture = g.input("picture", ["N", 3, 16, 16])
    ids, weight = g.input("ids", ["N", 12], "int64"), g.input("weight", ["N", 12])
    seen = pooled(g, g.op("Relu", g.conv(g.op("Relu", g.conv(picture, 3, 16, (3, 3), strides=[2, 2])), 16, 32, (3, 3))))
    words = g.op("Relu", g.dense(g.op("Gather", g.weight(g.random(40, 16, fan_in=2)), ids), 16, 32, matmul=True))
    read = g.op("ReduceSum", g.op("Mul", words, g.op("Unsqueeze", weight, g.weight([2]))), g.weight([1]), keepdims=0)
    features = g.op("Relu", g.dense(g.op("Concat", seen, read, axis=1), 64, 96))
    g.output(head(g, features, 96, 4), ["N", 4])
    g.output(g.op("Mul", g.op("Sigmoid", g.dense(features, 96, 4)), g.weight(640.0), into="box"), ["N", 4])
    count = g.op(
        "ReduceSum",
        g.op("Cast", g.op("Greater", weight, g.weight(0.05)), to=7),
        g.weight([1]),
        keepdims=0,
        into="count",
    )
    g.output(count, ["N"], "int64")
    pictures, texts = images(3, 16, 16, 4, seed=51, noise=1.8), tokens(12, 40, 4, seed=51)
    order = [np.flatnonzero(texts["labels"] == label) for label in range(4)]
    chosen = np.array([order[label][index % len(order[label])] for index, label in enumerate(pictures["labels"])])
    mask = texts["mask"][chosen]
    data: dict[str, Array] = {
        "picture": pictures["x"],
        "ids": texts["ids"][chosen],
        "weight": (mask / mask.sum(1, keepdims=True)).astype(np.float32),
        "labels": pictures["labels"],
    }
    return classifier(g.model(), data, features)


@member
def shared_and_computed_weights() -> Case:
    """One kernel in two convolutions, a kernel normalised in the graph, one that the input decides, a computed bias."""
    g = Graph("shared", 72)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 16, 16]), 3, 16, (3, 3), strides=[2, 2]))
    kernel, bias = g.weight(g.random(16, 16, 3, 3), "twice"), g.weight(np.zeros(16), "twice.b")
    for _ in range(2):
        x = g.op("Relu", g.op("Conv", x, kernel, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    direction = g.weight(g.random(24, 16, 1, 1))
    length = g.op("Sqrt", g.op("ReduceSumSquare", direction, axes=[1, 2, 3]))
    x = g.op("Relu", g.op("Conv", x, g.op("Mul", g.op("Div", direction, length), g.weight(1.5)), kernel_shape=[1, 1]))
    gate = g.op("Sigmoid", g.dense(pooled(g, x), 24, 24))
    own = g.op("Mul", g.weight(g.random(32, 24, 1, 1)), g.op("Reshape", gate, g.weight([1, 24, 1, 1])))
    x = g.op("Relu", g.op("Conv", x, own))
    features = pooled(
        g,
        g.op(
            "Relu",
            g.op("Conv", x, g.weight(g.random(64, 32, 3, 3)), g.op("Mul", g.weight(np.full(64, 0.1)), g.weight(2.0))),
        ),
    )
    g.output(head(g, features, 64, 4), [1, 4])
    return classifier(g.model(), images(3, 16, 16, 4, seed=52, noise=0.7), features)


@member
def outputs_in_odd_places() -> Case:
    """The input itself, a convolution in the middle, its clamp, one tensor twice, and a constant are outputs too."""
    g = Graph("odd_outputs", 73)
    x = g.input("x", ["N", 3, 16, 16])
    middle = g.conv(x, 3, 16, (3, 3), strides=[2, 2])
    clamped = g.op("Relu", middle)
    features = pooled(g, g.op("Relu", g.conv(clamped, 16, 64, (3, 3))))
    g.output(head(g, features, 64, 4), ["N", 4])
    g.output(middle, ["N", 16, 8, 8])
    g.output(clamped, ["N", 16, 8, 8])
    g.output(g.op("Identity", clamped, into="again"), ["N", 16, 8, 8])
    g.output(g.op("Identity", x, into="echo"), ["N", 3, 16, 16])
    g.output(g.op("Identity", g.weight([0.5, 1.5]), into="anchors"), [2])
    return classifier(g.model(), images(3, 16, 16, 4, seed=53, noise=1.5), features)


@member
def opset_9_with_constants() -> Case:
    """Opset 9: Upsample, weights in Constant nodes, Pad and Clip by attribute, Dropout, BatchNorm, Squeeze by axes."""
    g = Graph("old", 74)
    x = g.op("Pad", g.input("x", [1, 3, 8, 8]), pads=[0, 0, 1, 1, 0, 0, 1, 1])

    def constant(array: Array) -> str:
        return g.op("Constant", value=onnx.numpy_helper.from_array(np.asarray(array, np.float32)))

    x = g.op("Conv", x, constant(g.random(16, 3, 3, 3)), constant(np.zeros(16)), kernel_shape=[3, 3])
    x = g.op("BatchNormalization", x, *(constant(g.rng.uniform(0.5, 1.0, 16)) for _ in range(4)))
    x = g.op("Dropout", g.op("Clip", x, min=0.0, max=6.0), ratio=0.3)
    x = g.op("Upsample", x, constant(np.array([1.0, 1.0, 2.0, 2.0])), mode="nearest")
    x = g.op("Relu", g.op("Conv", x, constant(g.random(64, 16, 3, 3)), kernel_shape=[3, 3]))
    features = g.op("Squeeze", g.op("GlobalAveragePool", x), axes=[2, 3])
    g.output(head(g, features, 64, 4), [1, 4])
    return classifier(g.model(9), images(3, 8, 8, 4, seed=54, noise=1.1), features)


@member
def half_precision_inside() -> Case:
    """float32 in and out, float16 weights and arithmetic between: those layers stay as they are, and are named."""
    g = Graph("half", 75)
    x = g.op("Cast", g.input("x", ["N", 3, 16, 16]), to=TensorProto.FLOAT16)
    for channels, to in ((3, 16), (16, 64)):
        kernel = g.weight(g.random(to, channels, 3, 3).astype(np.float16))
        x = g.op("Relu", g.op("Conv", x, kernel, g.weight(np.zeros(to, np.float16)), strides=[2, 2]))
    features = pooled(g, g.op("Cast", x, to=TensorProto.FLOAT))
    g.output(head(g, features, 64, 4), ["N", 4])
    return classifier(g.model(), images(3, 16, 16, 4, seed=55, noise=1.1), features)


@member
def double_precision() -> Case:
    """float64 from end to end: nothing in it can be int8, which is said and not crashed on."""
    g = Graph("double", 76)
    x = g.op("Cast", g.input("x", ["N", 12]), to=TensorProto.DOUBLE)
    x = g.op("Relu", g.op("MatMul", x, g.weight_of_type(g.random(12, 48, fan_in=12).astype(np.float64))))
    x = g.op("MatMul", x, g.weight_of_type(g.random(48, 4, fan_in=48).astype(np.float64)))
    g.output(g.op("Cast", x, to=TensorProto.FLOAT), ["N", 4])
    data = images(12, 1, 1, 4, seed=56)
    nothing = {"onnxruntime": 69, "openvino": 69}
    return case(
        g.model(),
        {"x": data["x"].reshape(-1, 12)},
        metric="cosine",
        codes=nothing,
        says=dict.fromkeys(nothing, "MatMul"),
    )


@member
def local_function() -> Case:
    """A block as a function of the model's own domain, called twice with different weights."""
    g = Graph("functions", 77)
    x = g.input("x", ["N", 3, 16, 16])
    for channels, to in ((3, 16), (16, 64)):
        x = g.op("Block", x, g.weight(g.random(to, channels, 3, 3)), g.weight(np.zeros(to)), domain="own")
    features = pooled(g, x)
    g.output(head(g, features, 64, 4), ["N", 4])
    body = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    block = helper.make_function("own", "Block", ["x", "w", "b"], ["y"], body, [helper.make_opsetid("", 17)])
    proto = helper.make_model(
        g.proto(),
        functions=[block],
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        ir_version=8,
    )
    return classifier(proto, images(3, 16, 16, 4, seed=57, noise=1.0), features)


@member
def sequence_of_crops() -> Case:
    """SplitToSequence and SequenceAt between convolutions: tensors that are not tensors."""
    g = Graph("crops", 78)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 16, 16]), 3, 16, (3, 3)))
    crops = g.op("SplitToSequence", x, g.weight([8, 8]), axis=3)
    halves = [g.op("SequenceAt", crops, g.weight(np.array(index))) for index in range(2)]
    seen = [pooled(g, g.op("Relu", g.conv(half, 16, 32, (3, 3)))) for half in halves]
    features = g.op("Concat", *seen, axis=1)
    g.output(head(g, features, 64, 4), [1, 4])
    return classifier(g.model(), images(3, 16, 16, 4, seed=58, noise=1.5), features)


@member
def classical_learning() -> Case:
    """A scaler and a linear model of ONNX's ai.onnx.ml domain: no neural layer at all."""
    g = Graph("classical", 79)
    x = g.op("Scaler", g.input("x", ["N", 6]), domain="ai.onnx.ml", offset=[0.1] * 6, scale=[0.5] * 6)
    y = g.op(
        "LinearRegressor",
        x,
        domain="ai.onnx.ml",
        coefficients=list(map(float, g.random(3, 6).reshape(-1))),
        intercepts=[0.0, 0.1, 0.2],
        targets=3,
    )
    g.output(y, ["N", 3])
    data = np.random.default_rng(59).standard_normal((TOTAL, 6)).astype(np.float32)
    model = helper.make_model(
        g.proto(), opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=8
    )
    codes = {"onnxruntime": 69, "openvino": 69}
    return case(model, {"x": data}, metric="cosine", codes=codes, says={"openvino": "ai.onnx.ml"})


@member
def random_numbers_inside() -> Case:
    """Noise drawn inside the graph (a sampler): two runs never agree, and nothing may hang on that they do."""
    g = Graph("noisy", 80)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 16, 16]), 3, 16, (3, 3), strides=[2, 2]))
    x = g.op("Add", x, g.op("RandomNormalLike", x, scale=0.05))
    features = pooled(g, g.op("Relu", g.conv(x, 16, 64, (3, 3))))
    g.output(head(g, features, 64, 4), [1, 4])
    return classifier(g.model(), images(3, 16, 16, 4, seed=60, noise=1.3), features)
