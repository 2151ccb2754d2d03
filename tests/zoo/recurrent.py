"""LSTM and GRU, with lengths, with states that go in and come out."""

from __future__ import annotations

import numpy as np

from .case import Array, Case, member
from .graph import TOTAL, Graph, case, classifier, head, sequences


def _recurrent(g: Graph, gates: int, width: int, hidden: int, directions: int) -> list[str]:
    shapes = [
        (directions, gates * hidden, width),
        (directions, gates * hidden, hidden),
        (directions, 2 * gates * hidden),
    ]
    return [g.weight(g.rng.uniform(-1, 1, shape) / np.sqrt(hidden)) for shape in shapes]


@member
def bidirectional_lstm() -> Case:
    """Both ways, with the length of each sequence, between dense layers."""
    g = Graph("lstm", 21)
    x, lengths = g.input("x", [1, 30, 8]), g.input("lengths", [1], "int32")
    x = g.op("Transpose", g.op("Relu", g.dense(x, 8, 24, matmul=True)), perm=[1, 0, 2])
    _, last, _ = g.ops(
        "LSTM", x, *_recurrent(g, 4, 24, 24, 2), lengths, count=3, direction="bidirectional", hidden_size=24
    )
    x = g.op("Reshape", g.op("Transpose", last, perm=[1, 0, 2]), g.weight([1, 48]))
    features = g.op("Relu", g.dense(x, 48, 96))
    g.output(head(g, features, 96, 4), [1, 4])
    lengths_of: Array = np.random.default_rng(0).integers(20, 31, TOTAL).astype(np.int32)
    return classifier(g.model(), {**sequences(30, 8, 4, noise=1.6), "lengths": lengths_of}, features)


@member
def gru_over_convolutions() -> Case:
    """1-D convolutions, then two GRU layers (linear_before_reset, as torch writes them), the last step classified."""
    g = Graph("gru", 22)
    x = g.op("Transpose", g.input("x", ["N", 32, 8]), perm=[0, 2, 1])
    x = g.op("Relu", g.conv(g.op("Relu", g.conv(x, 8, 24, (3,))), 24, 24, (3,), strides=[2]))
    x = g.op("Transpose", x, perm=[2, 0, 1])
    for _ in range(2):
        every, _ = g.ops("GRU", x, *_recurrent(g, 3, 24, 24, 1), count=2, hidden_size=24, linear_before_reset=1)
        x = g.op("Squeeze", every, g.weight([1]))
    features = g.op("Relu", g.dense(g.op("Gather", x, g.weight(np.array(-1)), axis=0), 24, 64))
    g.output(head(g, features, 64, 4), ["N", 4])
    return classifier(g.model(), sequences(32, 8, 4, noise=1.0, seed=1), features)


@member
def streaming_states() -> Case:
    """One step of a stream: a ring of past frames and an LSTM's states go in and come out, beside a scalar rate."""
    g = Graph("stream", 23)
    frame, past = g.input("frame", [1, 8, 4]), g.input("past", [1, 8, 6])
    hidden, cell = g.input("hidden", [1, 1, 16]), g.input("cell", [1, 1, 16])
    rate = g.input("rate", [], "int64")
    joined = g.op("Concat", past, frame, axis=2)
    g.output(g.op("Slice", joined, g.weight([-6]), g.weight([1000]), g.weight([2]), into="next_past"), [1, 8, 6])
    x = g.op("Relu", g.conv(joined, 8, 16, (3,), pads=[0, 0]))
    x = g.op("Div", x, g.op("Div", g.op("Cast", rate, to=1), g.weight(16000.0)))
    x = g.op("Transpose", x, perm=[2, 0, 1])
    every, new_hidden, new_cell = g.ops(
        "LSTM",
        x,
        *_recurrent(g, 4, 16, 16, 1),
        "",
        hidden,
        cell,
        count=3,
        into=("every", "next_hidden", "next_cell"),
        hidden_size=16,
    )
    x = g.op("Relu", g.dense(g.op("Reshape", every, g.weight([-1, 16])), 16, 24))
    g.output(g.op("Sigmoid", g.dense(x, 24, 1), into="speech"), [8, 1])
    g.output(new_hidden, [1, 1, 16])
    g.output(new_cell, [1, 1, 16])
    rng = np.random.default_rng(3)
    data: dict[str, Array] = {
        name: rng.standard_normal((TOTAL, *shape)).astype(np.float32)
        for name, shape in {"frame": (8, 4), "past": (8, 6), "hidden": (1, 1, 16), "cell": (1, 1, 16)}.items()
    }
    data["rate"] = np.full(TOTAL, 16000, np.int64)
    return case(g.model(), data, metric="cosine", max_drop=0.01)
