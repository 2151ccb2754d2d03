"""Builds ONNX graphs in few words, and fits their last layer so that random features make a classifier that works.

Training would take seconds per model and differ between machines; ridge regression on the features of a random network
takes milliseconds, and what it gives is as sensitive to rounding as any linear classifier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from .case import CALIBRATE, JUDGE, Array, Case

Real = npt.NDArray[np.float32]
Attribute = int | float | str | Sequence[int] | Sequence[float] | onnx.GraphProto | onnx.TensorProto
FIT = 400
"""Samples the last layer is fitted on."""
KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}


class Graph:
    """A graph under construction; every method that adds something gives the name of what it made."""

    def __init__(self, name: str, seed: int = 0, prefix: str = "") -> None:
        self.name, self.rng, self.prefix = name, np.random.default_rng(seed), prefix
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, Array] = {}
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int | str], dtype: str = "float32") -> str:
        self.inputs.append(helper.make_tensor_value_info(name, KINDS[dtype], shape))
        return name

    def output(self, name: str, shape: Sequence[int | str | None], dtype: str = "float32") -> str:
        self.outputs.append(helper.make_tensor_value_info(name, KINDS[dtype], shape))
        return name

    def op(self, kind: str, *inputs: str, into: str = "", domain: str = "", **attributes: Attribute) -> str:
        return self.ops(kind, *inputs, count=1, into=(into,) if into else (), domain=domain, **attributes)[0]

    def ops(
        self,
        kind: str,
        *inputs: str,
        count: int,
        into: Sequence[str] = (),
        domain: str = "",
        **attributes: Attribute,
    ) -> list[str]:
        """As ``op``, for operators with several outputs."""
        node = f"{self.prefix}{kind}_{len(self.nodes)}"
        names = list(into) or [f"{node}.{index}" if count > 1 else f"{node}.out" for index in range(count)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=node, domain=domain, **attributes))
        return names

    def weight(self, array: Array | Sequence[float] | Sequence[int] | float, name: str = "") -> str:
        """A constant: floats as float32, integers as int64, arrays of other types as they are."""
        value = np.asarray(array)
        if value.dtype == np.float64:
            value = value.astype(np.float32)
        name = name or f"{self.prefix}w{len(self.weights)}"
        self.weights[name] = value
        return name

    def weight_of_type(self, array: Array) -> str:
        """A constant with the element type it has, float64 too."""
        name = f"{self.prefix}w{len(self.weights)}"
        self.weights[name] = array
        return name

    def random(self, *shape: int, fan_in: int | None = None) -> Real:
        """Weights that keep the size of what goes through a layer and a Relu."""
        fan = fan_in or int(np.prod(shape[1:]))
        return (self.rng.standard_normal(shape) * np.sqrt(2.0 / fan)).astype(np.float32)

    def conv(
        self, x: str, channels: int, to: int, kernel: Sequence[int], group: int = 1, **attributes: Attribute
    ) -> str:
        weight = self.weight(self.random(to, channels // group, *kernel))
        bias = self.weight(self.rng.uniform(-0.2, 0.2, to))
        if not {"pads", "auto_pad"} & set(attributes):
            attributes["pads"] = [size // 2 for size in kernel] * 2
        return self.op("Conv", x, weight, bias, group=group, kernel_shape=list(kernel), **attributes)

    def dense(self, x: str, width: int, to: int, *, matmul: bool = False) -> str:
        weight = self.weight(self.random(to, width).T)
        bias = self.weight(self.rng.uniform(-0.2, 0.2, to))
        if matmul:
            return self.op("Add", self.op("MatMul", x, weight), bias)
        return self.op("Gemm", x, weight, bias)

    def proto(self) -> onnx.GraphProto:
        """The graph alone: what a body of If, Loop or Scan takes."""
        stored = [numpy_helper.from_array(array, name) for name, array in self.weights.items()]
        return helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, stored)

    def model(self, opset: int = 17, **domains: int) -> onnx.ModelProto:
        """The whole model, checked."""
        opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(name, v) for name, v in domains.items())]
        proto = helper.make_model(
            self.proto(), opset_imports=opsets, ir_version=11 if opset > 22 else 10 if opset > 20 else 8
        )
        onnx.checker.check_model(proto)
        return proto


def run(model: onnx.ModelProto, feeds: Mapping[str, Array], names: Sequence[str] | None = None) -> list[list[Array]]:
    """The outputs for each batch that ``feeds``, arrays with samples along their first axis, are cut into."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    shapes = {item.name: item.shape for item in session.get_inputs()}
    rows = next((shape[0] for shape in shapes.values() if shape and isinstance(shape[0], int)), 1)
    count = len(next(iter(feeds.values()))) // rows
    answers = []
    for index in range(count):
        feed = {
            name: np.asarray(array[index]) if array.ndim > len(shape) else array[index * rows : (index + 1) * rows]
            for name, array in feeds.items()
            if (shape := shapes.get(name)) is not None
        }
        answers.append(session.run(list(names) if names else None, feed))
    return answers


def fit_head(model: onnx.ModelProto, features: str, data: Mapping[str, Array], weight: str, bias: str) -> None:
    """Sets ``weight`` (features, classes) and ``bias`` so that ``features @ weight + bias`` tells ``labels`` apart.

    ``features`` is a tensor of the model whose last axis counts features; its other axes must be those of the labels.
    """
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(helper.make_tensor_value_info(features, TensorProto.FLOAT, None))
    inputs = {name: array for name, array in data.items() if name != "labels"}
    found = np.concatenate([np.asarray(one[0]) for one in run(probe, inputs, [features])])
    rows = found.reshape(-1, found.shape[-1]).astype(np.float64)
    labels = np.asarray(data["labels"]).reshape(-1)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    classes = stored[weight].dims[1]
    middle, spread = rows.mean(0), rows.std(0) + 1e-3 * rows.std() + 1e-12
    scaled = (rows - middle) / spread
    wanted = 4.0 * np.eye(classes)[labels] - 4.0 / classes
    ridge = scaled.T @ scaled + 0.02 * len(scaled) * np.eye(scaled.shape[1])
    solved = np.linalg.solve(ridge, scaled.T @ wanted) / spread[:, None]
    offset = wanted.mean(0) - middle @ solved
    for name, value in ((weight, solved), (bias, offset)):
        tensor = stored[name]
        tensor.CopyFrom(numpy_helper.from_array(value.astype(np.float32).reshape(tensor.dims), name))


def head(graph: Graph, features: str, width: int, classes: int) -> str:
    """A last layer that ``fitted`` will fit; its weights are ``head.w`` and ``head.b``."""
    weight = graph.weight(np.zeros((width, classes), np.float32), "head.w")
    bias = graph.weight(np.zeros(classes, np.float32), "head.b")
    return graph.op("Gemm", features, weight, bias)


def fitted(model: onnx.ModelProto, data: Mapping[str, Array], features: str) -> onnx.ModelProto:
    """``model`` with its head fitted on the first ``FIT`` samples of ``data``."""
    fit_head(model, features, part(data, 0, FIT), "head.w", "head.b")
    return model


def part(data: Mapping[str, Array], first: int, last: int) -> dict[str, Array]:
    return {name: array[first:last] for name, array in data.items()}


def classifier(model: onnx.ModelProto, data: Mapping[str, Array], features: str, **rest: object) -> Case:
    """A case whose head is fitted on some samples of ``data``; others calibrate and judge it."""
    return case(fitted(model, data, features), data, **rest)


def case(model: onnx.ModelProto, data: Mapping[str, Array], **rest: object) -> Case:
    """A case of a model that is ready; samples the head was fitted on do not judge it."""
    start = FIT if "labels" in data else 0
    calibration = part(data, start, start + CALIBRATE)
    calibration.pop("labels", None)
    evaluation = part(data, start + CALIBRATE, start + CALIBRATE + JUDGE)
    return Case(model, calibration, evaluation, **rest)  # type: ignore[arg-type]


TOTAL = FIT + CALIBRATE + JUDGE


def images(
    channels: int, height: int, width: int, classes: int, *, noise: float = 1.0, seed: int = 0
) -> dict[str, Array]:
    """``x (TOTAL, channels, height, width)``: smooth patterns, one per class, moved about and hidden in noise."""
    rng = np.random.default_rng(seed)
    coarse = rng.standard_normal((classes, channels, 4, 4))
    smooth = np.kron(coarse, np.ones((1, 1, -(-height // 4), -(-width // 4))))[..., :height, :width]
    labels = rng.integers(0, classes, TOTAL)
    moves = rng.integers(-1, 2, (TOTAL, 2))
    rows = [np.roll(smooth[label], move, axis=(1, 2)) for label, move in zip(labels, moves, strict=True)]
    x = np.stack(rows) * rng.uniform(0.7, 1.3, (TOTAL, 1, 1, 1)) + noise * rng.standard_normal((TOTAL, *rows[0].shape))
    return {"x": x.astype(np.float32), "labels": labels.astype(np.int64)}


def waves(length: int, classes: int, *, noise: float = 0.5, seed: int = 0) -> dict[str, Array]:
    """``x (TOTAL, length)``: a chord per class with random phases and loudness, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, TOTAL)
    pitch = 0.02 * 1.45 ** np.arange(classes)[:, None] * np.array([1.0, 1.5, 2.7])
    phase = rng.uniform(0, 2 * np.pi, (TOTAL, 3, 1))
    time = np.arange(length)
    x = np.sin(2 * np.pi * np.minimum(pitch[labels], 0.47)[..., None] * time + phase).sum(1)
    x = x * rng.uniform(0.3, 1.0, (TOTAL, 1)) + noise * rng.standard_normal(x.shape)
    return {"x": x.astype(np.float32), "labels": labels.astype(np.int64)}


def sequences(length: int, width: int, classes: int, *, noise: float = 0.7, seed: int = 0) -> dict[str, Array]:
    """``x (TOTAL, length, width)``: a path per class, run through at varying speed, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, TOTAL)
    knots = rng.standard_normal((classes, 6, width))
    speed = rng.uniform(0.8, 1.2, (TOTAL, 1))
    at = np.clip(np.linspace(0, 5, length) * speed, 0, 4.999)
    low = at.astype(int)
    share = (at - low)[..., None]
    x = knots[labels[:, None], low] * (1 - share) + knots[labels[:, None], low + 1] * share
    x = x + noise * rng.standard_normal(x.shape)
    return {"x": x.astype(np.float32), "labels": labels.astype(np.int64)}


def tokens(length: int, vocabulary: int, classes: int, *, seed: int = 0) -> dict[str, Array]:
    """``ids`` and ``mask`` (TOTAL, length), int64: words each class prefers; a random tail is padding."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, TOTAL)
    liking = rng.dirichlet(np.full(vocabulary, 0.3), classes)
    ids = np.stack([rng.choice(vocabulary, length, p=liking[label]) for label in labels])
    mask = np.arange(length) < rng.integers(length // 2, length + 1, (TOTAL, 1))
    return {"ids": (ids * mask).astype(np.int64), "mask": mask.astype(np.int64), "labels": labels.astype(np.int64)}
