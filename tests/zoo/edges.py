"""Corners that real exporters reach: empty caches, boxes chosen inside, cameras' bytes, fused and 4-bit models."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from .attention import layer_norm
from .case import Array, Case, member
from .convolutional import pooled
from .graph import TOTAL, Graph, case, classifier, fitted, head, images, tokens


@member
def bytes_from_a_camera() -> Case:
    """uint8 pictures with channels last in a fixed batch of 4; scaling, transposing and normalising in the graph."""
    g = Graph("camera", 91)
    x = g.op("Cast", g.input("x", [4, 16, 16, 3], "uint8"), to=TensorProto.FLOAT)
    x = g.op("Transpose", g.op("Div", x, g.weight(255.0)), perm=[0, 3, 1, 2])
    x = g.op("Div", g.op("Sub", x, g.weight(np.full((3, 1, 1), 0.45))), g.weight(np.full((3, 1, 1), 0.22)))
    x = g.op("Relu", g.conv(x, 3, 16, (3, 3), strides=[2, 2]))
    features = pooled(g, g.op("Relu", g.conv(x, 16, 64, (3, 3))))
    g.output(head(g, features, 64, 4), [4, 4])
    data = images(3, 16, 16, 4, seed=71, noise=0.8)
    picture = np.clip(np.rint(data["x"].transpose(0, 2, 3, 1) * 50 + 115), 0, 255).astype(np.uint8)
    return classifier(g.model(), {**data, "x": picture}, features)


@member
def boxes_chosen_inside() -> Case:
    """NonMaxSuppression in the graph: how many boxes come out depends on the numbers, so int8 may give other shapes."""
    g = Graph("nms", 92)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 16, 16]), 3, 24, (3, 3), strides=[2, 2]))
    features = pooled(g, g.op("Relu", g.conv(x, 24, 64, (3, 3))))
    g.output(head(g, features, 64, 4), [1, 4])
    centre = g.op("Reshape", g.conv(x, 24, 4, (1, 1)), g.weight([1, 4, 64]))
    boxes = g.op("Transpose", g.op("Sigmoid", centre), perm=[0, 2, 1])
    scores = g.op("Sigmoid", g.op("Reshape", g.conv(x, 24, 2, (1, 1)), g.weight([1, 2, 64])))
    limits = g.weight([20]), g.weight(np.array([0.5], np.float32)), g.weight(np.array([0.55], np.float32))
    g.output(g.op("NonMaxSuppression", boxes, scores, *limits, center_point_box=1), ["K", 3], "int64")
    return classifier(g.model(), images(3, 16, 16, 4, seed=72, noise=1.0), features)


@member
def empty_cache() -> Case:
    """Keys and values of the past go in, none of them at first: a tensor without elements is concatenated."""
    g = Graph("cache", 93)
    x, past = g.input("x", [1, 4, 32]), g.input("past", [1, "P", 32])
    q, k = (g.dense(x, 32, 32, matmul=True) for _ in range(2))
    keys = g.op("Concat", past, k, axis=1, into="keys")
    scores = g.op("MatMul", q, g.op("Transpose", g.dense(keys, 32, 32, matmul=True), perm=[0, 2, 1]))
    mixed = g.op("MatMul", g.op("Softmax", g.op("Mul", scores, g.weight(0.15)), axis=-1), keys)
    g.output(g.dense(mixed, 32, 8, matmul=True), [1, 4, 8])
    g.output(keys, [1, "T", 32])
    rng = np.random.default_rng(93)
    data: dict[str, Array] = {
        "x": rng.standard_normal((TOTAL, 1, 4, 32)).astype(np.float32),
        "past": np.zeros((TOTAL, 1, 0, 32), np.float32),
    }
    return case(g.model(), data, metric="cosine", max_drop=0.01)


@member
def forbidden_class() -> Case:
    """A bias of minus a milliard forbids one class, in a convolution that answers per place."""
    g = Graph("forbidden", 94)
    x = g.op("Relu", g.conv(g.input("x", ["N", 3, 16, 16]), 3, 24, (3, 3), strides=[2, 2]))
    features = pooled(g, g.op("Relu", g.conv(x, 24, 64, (3, 3), strides=[2, 2])))
    known = head(g, features, 64, 4)
    wide = g.op("Unsqueeze", known, g.weight([2, 3]))
    kernel, bias = np.eye(5, 4)[:, :, None, None], np.array([0, 0, 0, 0, -1e9])
    scores = g.op("Conv", wide, g.weight(kernel), g.weight(bias), kernel_shape=[1, 1])
    g.output(g.op("Flatten", scores), ["N", 5])
    return classifier(g.model(), images(3, 16, 16, 4, seed=74, noise=1.0), features)


@member
def tensors_used_twice() -> Case:
    """x + x, x * x, Concat(x, x), constants on the left of MatMul and Add, Gemm with transA, alpha, beta."""
    g = Graph("twice", 95)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 16, 16]), 3, 12, (3, 3), strides=[2, 2]))
    x = g.conv(g.op("Add", x, x), 12, 12, (3, 3))
    x = g.conv(g.op("Mul", x, x), 12, 12, (3, 3))
    x = g.op("Relu", g.conv(g.op("Concat", x, x, axis=1), 24, 24, (1, 1)))
    x = g.op("Add", g.weight(g.rng.uniform(-0.2, 0.2, (1, 24, 1, 1))), x)
    x = g.op("Reshape", x, g.weight([24, 64]))
    x = g.op("MatMul", g.weight(g.random(32, 24)), x)
    x = g.op("Relu", g.op("ReduceMean", x, axes=[1], keepdims=1))
    weight, bias = g.weight(g.random(64, 32)), g.weight(g.rng.uniform(-0.2, 0.2, (1, 64)))
    features = g.op("Relu", g.op("Gemm", x, weight, bias, transA=1, transB=1, alpha=0.5, beta=2.0))
    g.output(head(g, features, 64, 4), [1, 4])
    return classifier(g.model(), images(3, 16, 16, 4, seed=75, noise=0.6), features)


@member
def newest_operators() -> Case:
    """Opset 24: RMSNormalization, RotaryEmbedding, Attention, Swish as operators."""
    g = Graph("newest", 96)
    width, heads, size, length = 32, 4, 8, 12
    x = g.op("Gather", g.weight(g.random(60, width, fan_in=2)), g.input("ids", ["N", length], "int64"))
    angle = np.arange(length)[:, None] / 10.0 ** np.arange(size // 2)
    tables = [g.weight(part(angle)) for part in (np.cos, np.sin)]
    places = g.op("Unsqueeze", g.weight(np.arange(length)), g.weight([0]))
    normal = g.op("RMSNormalization", x, g.weight(np.ones(width)), axis=-1)
    shape = g.weight([0, 0, heads, size])
    q, k, v = (
        g.op("Transpose", g.op("Reshape", g.dense(normal, width, width, matmul=True), shape), perm=[0, 2, 1, 3])
        for _ in range(3)
    )
    del places
    q, k = (g.op("RotaryEmbedding", one, *(g.op("Unsqueeze", t, g.weight([0])) for t in tables)) for one in (q, k))
    mixed = g.op("Transpose", g.op("Attention", q, k, v, is_causal=1), perm=[0, 2, 1, 3])
    x = g.op("Add", x, g.dense(g.op("Reshape", mixed, g.weight([0, 0, width])), width, width, matmul=True))
    gated = g.op("Swish", g.dense(x, width, 64, matmul=True))
    x = g.op("RMSNormalization", g.dense(gated, 64, 64, matmul=True), g.weight(np.ones(64)), axis=-1)
    features = g.op("ReduceMean", x, g.weight([1]), keepdims=0)
    g.output(head(g, features, 64, 4), ["N", 4])
    data = tokens(length, 60, 4, seed=76)
    del data["mask"]
    return classifier(g.model(24), data, features)


@member
def optimised_by_onnxruntime() -> Case:
    """Saved by onnxruntime after its own optimiser: FusedConv, BiasGelu, SkipLayerNormalization of com.microsoft."""
    import onnxruntime as ort

    g = Graph("optimised", 97)
    x = g.op("Relu", g.conv(g.input("x", [1, 3, 16, 16]), 3, 16, (3, 3), strides=[2, 2]))
    x = g.op("LeakyRelu", g.conv(x, 16, 32, (3, 3), strides=[2, 2]), alpha=0.1)
    x = g.op("Transpose", g.op("Reshape", x, g.weight([0, 32, -1])), perm=[0, 2, 1])
    y = g.dense(layer_norm(g, x, 32), 32, 64, matmul=True)
    erf = g.op("Add", g.op("Erf", g.op("Div", y, g.weight(np.sqrt(2.0)))), g.weight(1.0))
    y = g.op("Mul", g.op("Mul", y, erf), g.weight(0.5))
    x = layer_norm(g, g.op("Add", x, g.dense(y, 64, 32, matmul=True)), 32)
    features = g.op("ReduceMean", x, axes=[1], keepdims=0)
    g.output(head(g, features, 32, 4), [1, 4])
    data = images(3, 16, 16, 4, seed=77, noise=0.7)
    model = fitted(g.model(), data, features)
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
        options.optimized_model_filepath = str(Path(folder, "optimised.onnx"))
        options.log_severity_level = 4
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return case(onnx.load(options.optimized_model_filepath), data)


@member
def four_bit_weights() -> Case:
    """Weights as int4 in blocks of 16 behind DequantizeLinear (opset 21), beside a layer that is float."""
    g = Graph("four_bits", 98)
    x = g.op("Relu", g.dense(g.input("x", ["N", 32]), 32, 64, matmul=True))
    weight = g.random(64, 64).T
    scale = np.abs(weight.reshape(4, 16, 64)).max(1) / 7
    codes = np.clip(np.rint(weight / np.repeat(scale, 16, 0)), -8, 7).astype(np.int8)
    stored = helper.make_tensor("codes", TensorProto.INT4, codes.shape, codes.reshape(-1).tolist())
    back = g.op("DequantizeLinear", "codes", g.weight(scale), axis=0, block_size=16)
    features = g.op("Relu", g.op("MatMul", x, back))
    g.output(head(g, features, 64, 4), ["N", 4])
    proto = g.proto()
    proto.initializer.append(stored)
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    data = images(2, 4, 4, 4, seed=78, noise=0.4)
    return classifier(model, {**data, "x": data["x"].reshape(-1, 32)}, features)


@member
def everything_has_one_name() -> Case:
    """All nodes are called the same, and one layer must stay float: it has to be told from the others."""
    g = Graph("one_name", 99)
    x = g.op("Relu", g.conv(g.input("x", ["N", 3, 16, 16]), 3, 24, (3, 3), strides=[2, 2]))
    loud = np.ones((24, 1, 1))
    loud[:4] = 3e4
    x = g.op("Mul", x, g.weight(loud))
    kernel = g.random(48, 24, 3, 3)
    kernel[:, :4] /= 3e5
    x = g.op("Tanh", g.op("Conv", x, g.weight(kernel), g.weight(np.zeros(48)), kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    features = pooled(g, g.op("Relu", g.conv(x, 48, 64, (1, 1))))
    g.output(head(g, features, 64, 4), ["N", 4])
    made = classifier(g.model(), images(3, 16, 16, 4, seed=79, noise=0.9), features)
    for node in made.model.graph.node:
        node.name = "node"
    return made


@member
def half_precision_throughout() -> Case:
    """float16 in, out and between: what a phone's exporter writes; nothing is int8, and that is said."""
    g = Graph("half_throughout", 100)
    x = g.op(
        "Relu",
        g.op("Conv", g.input("x", ["N", 3, 8, 8], "float16"), g.weight(g.random(16, 3, 3, 3).astype(np.float16))),
    )
    flat = pooled(g, x)
    y = g.op("MatMul", flat, g.weight(g.random(4, 16).T.astype(np.float16)))
    g.output(y, ["N", 4], "float16")
    data = images(3, 8, 8, 4, seed=80)
    codes = {"onnxruntime": 69, "openvino": 69}
    says = dict.fromkeys(codes, "float16")
    return case(g.model(), {"x": data["x"].astype(np.float16)}, metric="cosine", codes=codes, says=says)


@member
def branch_that_never_runs() -> Case:
    """An If on a constant, an If nested in an If, a branch that is quantised in the file, results used outside."""
    g = Graph("nested", 101)
    x = g.input("x", [1, 3, 16, 16])
    stem = g.op("Relu", g.conv(x, 3, 16, (3, 3), strides=[2, 2]))

    def body(name: str, make: str, inner: onnx.GraphProto | None = None) -> onnx.GraphProto:
        b = Graph(name, 102, prefix=f"{name}.")
        if make == "quantised":
            pair = b.weight(0.05), b.weight(np.array(0, np.uint8))
            y = b.op("DequantizeLinear", b.op("QuantizeLinear", stem, *pair), *pair)
            made = b.op("Relu", b.conv(y, 16, 16, (3, 3)))
        elif inner is not None:
            bright = b.op("Greater", b.op("ReduceMax", stem, keepdims=0), b.weight(2.0))
            made = b.op("If", bright, then_branch=inner, else_branch=body(f"{name}.other", "plain"))
        else:
            made = b.op("Relu", b.conv(stem, 16, 16, (1, 1)))
        b.output(made, [1, 16, 8, 8])
        return b.proto()

    bright = g.op("Greater", g.op("ReduceMean", x, keepdims=0), g.weight(0.0))
    nested = body("nested", "If", body("deep", "quantised"))
    one = g.op("If", bright, then_branch=nested, else_branch=body("plain", "plain"))
    two = g.op("If", g.weight(np.array(True)), then_branch=body("always", "plain"), else_branch=body("never", "plain"))
    features = pooled(g, g.op("Relu", g.conv(g.op("Add", one, two), 16, 64, (3, 3))))
    g.output(head(g, features, 64, 4), [1, 4])
    return classifier(g.model(), images(3, 16, 16, 4, seed=81, noise=1.0), features)
