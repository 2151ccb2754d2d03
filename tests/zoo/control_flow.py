"""If, Loop and Scan: layers inside of bodies, values captured from outside."""

from __future__ import annotations

import numpy as np

from .case import Case, member
from .convolutional import pooled
from .graph import Graph, classifier, head, images, sequences


@member
def branches_with_convolutions() -> Case:
    """The image's own brightness decides which of two convolutions runs; both read a tensor of the outer graph."""
    g = Graph("branches", 31)
    x = g.input("x", ["N", 3, 16, 16])
    stem = g.op("Relu", g.conv(x, 3, 16, (3, 3), strides=[2, 2]))
    bright = g.op("Greater", g.op("ReduceMean", x, keepdims=0), g.weight(0.0))
    bodies = []
    for name in ("then", "else"):
        body = Graph(name, 32, prefix=f"{name}.")
        made = body.op("Relu", body.conv(stem, 16, 24, (3, 3)))
        body.output(made, ["N", 24, 8, 8])
        bodies.append(body.proto())
    x = g.op("If", bright, then_branch=bodies[0], else_branch=bodies[1])
    features = pooled(g, g.op("Relu", g.conv(x, 24, 64, (3, 3))))
    g.output(head(g, features, 64, 4), ["N", 4])
    return classifier(g.model(), images(3, 16, 16, 4, noise=1.2, seed=21), features)


@member
def loop_of_residual_blocks() -> Case:
    """A Loop that applies one residual block as often as an input says; weights captured from the outer graph."""
    g = Graph("looped", 33)
    x, steps = g.input("x", [1, 3, 16, 16]), g.input("steps", [], "int64")
    stem = g.op("Relu", g.conv(x, 3, 16, (3, 3), strides=[2, 2]))
    weight, bias = g.weight(0.3 * g.random(16, 16, 3, 3)), g.weight(g.rng.uniform(-0.1, 0.1, 16))
    body = Graph("body", prefix="body.")
    body.input("step", [], "int64")
    going, carried = body.input("going", [], "bool"), body.input("carried", [1, 16, 8, 8])
    made = body.op(
        "Add", carried, body.op("Relu", body.op("Conv", carried, weight, bias, kernel_shape=[3, 3], pads=[1, 1, 1, 1]))
    )
    body.output(body.op("Identity", going), [], "bool")
    body.output(made, [1, 16, 8, 8])
    x = g.op("Loop", steps, g.weight(np.array(True)), stem, body=body.proto())
    features = pooled(g, g.op("Relu", g.conv(x, 16, 64, (3, 3))))
    g.output(head(g, features, 64, 4), [1, 4])
    data = images(3, 16, 16, 4, noise=1.3, seed=22)
    return classifier(g.model(), {**data, "steps": np.full(len(data["x"]), 3, np.int64)}, features)


@member
def scanned_recurrence() -> Case:
    """A recurrence written as Scan with matrix products in its body."""
    g = Graph("scanned", 34)
    x = g.op("Relu", g.dense(g.op("Squeeze", g.input("x", [1, 24, 8]), g.weight([0])), 8, 24, matmul=True))
    body = Graph("cell", 35, prefix="cell.")
    state, step = body.input("state", [1, 32]), body.input("step", [24])
    row = body.op("Unsqueeze", step, body.weight([0]))
    mixed = body.op(
        "Add", body.dense(row, 24, 32, matmul=True), body.op("MatMul", state, body.weight(0.4 * body.random(32, 32)))
    )
    made = body.op("Tanh", mixed)
    body.output(made, [1, 32])
    body.output(body.op("Identity", made), [1, 32])
    last, every = g.ops(
        "Scan", g.weight(np.zeros((1, 32), np.float32)), x, count=2, body=body.proto(), num_scan_inputs=1
    )
    both = g.op("Concat", last, g.op("ReduceMean", every, axes=[0], keepdims=0), axis=1)
    features = g.op("Relu", g.dense(both, 64, 96))
    g.output(head(g, features, 96, 4), [1, 4])
    return classifier(g.model(), sequences(24, 8, 4, seed=3), features)
