"""Graphs of any size with the traits that passes look for, and a model of any weight.

A chain of blocks of mixed kinds over one stream (1, 8, 4, 4): convolutions with batch norms and a residual, a gate
with what nobody reads and what is there twice, moves that undo each other around a product with a computed weight, and
LayerNorm, GELU and attention as exporters spell them out. Small constants (epsilon, halves, shapes, permutations) are
shared by all blocks, as after an exporter that merges them: whoever asks each of them for all its readers each time
takes the square of the graph's size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE = 8, 4
WIDTH = SIDE * SIDE


class Graph:
    """Writes a graph node by node."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        out = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=f"n{len(self.nodes)}", **attributes))
        return out

    def shared(self, name: str, array: object, kind: type = np.float32) -> str:
        """A constant that all blocks use."""
        if name not in self.weights:
            self.weights[name] = numpy_helper.from_array(np.asarray(array, kind), name)
        return name

    def weight(self, *shape: int, low: float = -0.3, high: float = 0.3) -> str:
        """A constant of its own."""
        name = f"w{len(self.weights)}"
        self.weights[name] = numpy_helper.from_array(self.rng.uniform(low, high, shape).astype(np.float32), name)
        return name


def convolutions(graph: Graph, x: str) -> str:
    """Conv, BatchNormalization, Relu, twice, a residual, and an Identity: 8 nodes."""
    y = x
    for _ in range(2):
        y = graph.op("Conv", y, graph.weight(CHANNELS, CHANNELS, 1, 1))
        scale, variance = (graph.weight(CHANNELS, low=0.5, high=1.5) for _ in range(2))
        y = graph.op("BatchNormalization", y, scale, graph.weight(CHANNELS), graph.weight(CHANNELS), variance)
        y = graph.op("Relu", y)
    return graph.op("Identity", graph.op("Add", y, x))


def gate(graph: Graph, x: str) -> str:
    """x * sigmoid(x) and x * hard sigmoid, one of them twice, beside nodes that nobody reads: 10 nodes."""
    one, again = (graph.op("Mul", x, graph.op("Sigmoid", x)) for _ in range(2))
    graph.op("Neg", graph.op("Exp", x))
    raised = graph.op("Add", x, graph.shared("three", 3.0))
    clipped = graph.op("Clip", raised, graph.shared("zero", 0.0), graph.shared("six", 6.0))
    hard = graph.op("Div", graph.op("Mul", x, clipped), graph.shared("six", 6.0))
    return graph.op("Add", graph.op("Add", one, again), hard)


def moves(graph: Graph, x: str) -> str:
    """To a matrix and back by moves that undo each other, with a product whose weight is computed: 11 nodes."""
    flat = graph.op("Reshape", x, graph.shared("to_matrix", [1, CHANNELS, WIDTH], np.int64))
    turned = graph.op("Transpose", graph.op("Transpose", flat, perm=[0, 2, 1]), perm=[0, 2, 1])
    half = graph.op("Constant", value=numpy_helper.from_array(np.float32(0.5)))
    weight = graph.op("Mul", graph.op("Transpose", graph.weight(WIDTH, WIDTH), perm=[1, 0]), half)
    product = graph.op("Add", graph.op("MatMul", turned, weight), graph.weight(WIDTH))
    back = graph.op("Reshape", graph.op("Relu", product), graph.shared("to_image", [1, CHANNELS, SIDE, SIDE], np.int64))
    return graph.op("Dropout", back)


def normalised(graph: Graph, x: str) -> str:
    """LayerNorm over the last axis and GELU, spelled out: 17 nodes."""
    rows = graph.op("Reshape", x, graph.shared("to_matrix", [1, CHANNELS, WIDTH], np.int64))
    last = graph.shared("last", [-1], np.int64)
    away = graph.op("Sub", rows, graph.op("ReduceMean", rows, last))
    squared = graph.op("ReduceMean", graph.op("Pow", away, graph.shared("two", 2.0)), last)
    spread = graph.op("Sqrt", graph.op("Add", squared, graph.shared("epsilon", 1e-5)))
    normed = graph.op("Mul", graph.op("Div", away, spread), graph.weight(WIDTH, low=0.5, high=1.5))
    normed = graph.op("Add", normed, graph.weight(WIDTH))
    bent = graph.op("Erf", graph.op("Div", normed, graph.shared("root", np.sqrt(2.0))))
    inner = graph.op("Mul", normed, graph.op("Add", bent, graph.shared("one", 1.0)))
    gelu = graph.op("Mul", inner, graph.shared("half", 0.5))
    return graph.op("Reshape", gelu, graph.shared("to_image", [1, CHANNELS, SIDE, SIDE], np.int64))


def attention(graph: Graph, x: str) -> str:
    """Two heads over rows of the stream, spelled out, with a residual: 21 nodes."""
    rows = graph.op("Reshape", x, graph.shared("to_matrix", [1, CHANNELS, WIDTH], np.int64))
    heads = graph.shared("heads", [1, CHANNELS, 2, WIDTH // 2], np.int64)
    made = []
    for perm in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
        linear = graph.op("Add", graph.op("MatMul", rows, graph.weight(WIDTH, WIDTH)), graph.weight(WIDTH))
        made.append(graph.op("Transpose", graph.op("Reshape", linear, heads), perm=perm))
    scores = graph.op("Div", graph.op("MatMul", made[0], made[1]), graph.shared("scale", np.sqrt(WIDTH / 2)))
    seen = graph.op("MatMul", graph.op("Softmax", scores, axis=-1), made[2])
    joined = graph.op("Reshape", graph.op("Transpose", seen, perm=[0, 2, 1, 3]), "to_matrix")
    total = graph.op("Add", rows, joined)
    return graph.op("Reshape", total, graph.shared("to_image", [1, CHANNELS, SIDE, SIDE], np.int64))


BLOCKS = (convolutions, gate, moves, normalised, attention)


def mixed(nodes: int, seed: int = 0) -> onnx.ModelProto:
    """A model of at least ``nodes`` nodes, and fewer than 25 more, of opset 18."""
    graph = Graph(seed)
    x, number = "x", 0
    while len(graph.nodes) < nodes:
        x = BLOCKS[number % len(BLOCKS)](graph, x)
        number += 1
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, CHANNELS, SIDE, SIDE]) for name in ("x", x)]
    whole = helper.make_graph(graph.nodes, "mixed", ends[:1], ends[1:], list(graph.weights.values()))
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def heavy(folder: Path, weight_bytes: int, layers: int = 5, seed: int = 0) -> Path:
    """A model of ``layers`` square products with Relu between, ``weight_bytes`` in all, its weights beside it."""
    width = int((weight_bytes / layers / 4) ** 0.5) // 64 * 64
    rng = np.random.default_rng(seed)
    path, data = folder / "heavy.onnx", folder / "heavy.data"
    nodes, tensors, x = [], [], "x"
    with data.open("wb") as file:
        for layer in range(layers):
            tensor = TensorProto(name=f"w{layer}", data_type=TensorProto.FLOAT, dims=[width, width])
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", data.name), ("offset", file.tell()), ("length", width * width * 4)):
                tensor.external_data.add(key=key, value=str(value))
            for _ in range(0, width, 64):  # in pieces: this process is not to be the largest
                rows = rng.standard_normal((64, width), np.float32)
                file.write((rows / np.float32(np.sqrt(width))).tobytes())
            tensors.append(tensor)
            nodes.append(helper.make_node("MatMul", [x, f"w{layer}"], [f"m{layer}"], name=f"product_{layer}"))
            nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"], name=f"relu_{layer}"))
            x = f"r{layer}"
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", x)]
    graph = helper.make_graph(nodes, "heavy", ends[:1], ends[1:], tensors)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )
    return path
