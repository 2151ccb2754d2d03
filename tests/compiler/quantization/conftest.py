"""Small nets with real traits, rules like those of real targets, and sites that run them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.site import Absent, Site
from edgewright.core.budget import Budget
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds, Outputs
from edgewright.targets.schema import QuantRule, QuantScheme, Target

MOVERS = ("MaxPool", "Concat", "Reshape", "Transpose", "Slice", "Flatten", "Squeeze", "Unsqueeze", "Resize")
INTEGER = QuantScheme(
    name="integer",
    kind="static",
    op_kinds=frozenset(
        {"Conv", "Gemm", "MatMul", "Add", "Mul", "Sigmoid", "AveragePool", "GlobalAveragePool", *MOVERS}
    ),
    float_output_kinds=frozenset({"Gemm", "MatMul"}),
)
INPUTS = QuantScheme(
    name="inputs",
    kind="static",
    op_kinds=frozenset({"Conv", "Gemm", "MatMul", "ConvTranspose", "Add", *MOVERS}),
    quantize_outputs=False,
)
DYNAMIC = QuantScheme(name="dynamic", kind="dynamic", op_kinds=frozenset({"MatMul", "Gemm"}), quantize_outputs=False)
RULE = QuantRule(
    activation="uint8",
    activation_symmetric=False,
    weight="int8",
    weight_symmetric=True,
    per_channel_axes={"Conv": 0, "Gemm": 0, "MatMul": 1, "ConvTranspose": 1},
    reduce_range=False,
    saturates_int16=False,
    schemes=(INTEGER, INPUTS, DYNAMIC),
    source="a test",
)
TYPED = replace(
    RULE,
    activation="int8",
    activation_symmetric=True,
    bias="float",
    schemes=(
        QuantScheme(
            name="typed",
            kind="static",
            op_kinds=frozenset({"Add", "Conv", "ConvTranspose", "Gemm", "MatMul"}),
            quantize_outputs=False,
            float_rest="fp16",
            residual_adds=True,
        ),
    ),
)
"""For runtimes that compute in exactly what is written."""
FLOAT8 = replace(TYPED, activation="float8e4m3fn", weight="float8e4m3fn")


def target(rule: QuantRule | None = RULE, fp8: QuantRule | None = None) -> Target:
    """A target with these rules and nothing else of note."""
    return Target(
        hardware="test",
        runtime="onnxruntime",
        title="",
        arch="any",
        isa=frozenset(),
        device="CPU",
        precisions=("fp32", "int8"),
        hinted_precisions=frozenset(),
        int8=rule,
        opset=(7, 25),
        fused_ops=frozenset(),
        channel_multiple=1,
        threads=1,
        memory_bytes=None,
        fp8=fp8,
    )


class Counted:
    """Feeds in a list; counts how often they are walked."""

    def __init__(self, feeds: Sequence[Feeds], digest: str = "1" * 64) -> None:
        self.feeds, self.digest, self.walks = list(feeds), digest, 0

    def __len__(self) -> int:
        return len(self.feeds)

    def __iter__(self) -> Iterator[Feeds]:
        self.walks += 1
        return iter(self.feeds)


def ort_run(model: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
    """All optimisations on, so that integer kernels are what is judged."""
    session = ort_session(model)
    names = [item.name for item in session.get_outputs()]
    for feed in feeds:
        yield dict(zip(names, session.run(None, dict(feed)), strict=True))


def ort_session(model: OnnxModel, optimized: Path | None = None):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    data = ir.to_proto(model.ir).SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def site_of(model: OnnxModel, feeds: Sequence[Feeds], rule: QuantRule = RULE, **changes: object) -> Site:
    absent = Absent("not in this test")
    site = Site(
        target=target(rule),
        original=model,
        samples=Counted(feeds),
        run=ort_run,
        measure=absent,
        evaluate=absent,
        budget=Budget(),
        seed=0,
        workdir=Path("unused"),
    )
    return replace(site, **changes)  # type: ignore[arg-type]


class Net:
    """Writes an ONNX graph line by line."""

    def __init__(self, seed: int = 0, opset: int = 17) -> None:
        self.rng, self.opset = np.random.default_rng(seed), opset
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def output(self, name: str, shape: Sequence[int | str | None], kind: int = TensorProto.FLOAT) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, kind, list(shape)))

    def weight(self, array: object, dtype: type = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def random(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, 1 / np.sqrt(max(1, np.prod(shape[1:]))), shape).astype(np.float32)

    def op(self, kind: str, *inputs: str, out: str | None = None, domain: str = "", **attributes: object) -> str:
        name = f"{kind}_{len(self.nodes)}"
        result = out or f"{name}_out"
        self.nodes.append(helper.make_node(kind, list(inputs), [result], name=name, domain=domain, **attributes))
        return result

    def conv(self, x: str, cin: int, cout: int, k: int = 3, group: int = 1, out: str | None = None, **extra) -> str:
        weight = self.weight(self.random(cout, cin // group, k, k))
        bias = self.weight(self.rng.uniform(-0.3, 0.3, cout))
        pads = [k // 2] * 4
        return self.op("Conv", x, weight, bias, out=out, kernel_shape=[k, k], pads=pads, group=group, **extra)

    def model(self, name: str = "net") -> OnnxModel:
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, self.weights)
        proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        onnx.checker.check_model(proto, full_check=True)
        return OnnxModel(ir.from_proto(proto), name)


def residual_net(opset: int = 17) -> OnnxModel:
    """Conv-Relu, depthwise, residual Add, MaxPool, mean, Gemm: what most image classifiers are made of."""
    net = Net(seed=3, opset=opset)
    x = net.input("x", ["N", 3, 16, 16])
    a = net.op("Relu", net.conv(x, 3, 16))
    b = net.op("Relu", net.conv(a, 16, 16, group=16))
    c = net.op("Add", net.conv(b, 16, 16, k=1), a)
    d = net.op("Relu", net.conv(net.op("Relu", c), 16, 24))
    d = net.op("MaxPool", d, kernel_shape=[2, 2], strides=[2, 2])
    e = net.op("ReduceMean", d, axes=[2, 3], keepdims=0)
    net.op("Gemm", e, net.weight(net.random(10, 24)), net.weight(np.zeros(10)), out="y", transB=1)
    net.output("y", ["N", 10])
    return net.model("residual")


BLOCKS = ("plain", "residual", "downsample", "depthwise", "gate", "pool", "branches", "upsample")


def typed_net(blocks: Sequence[str], seed: int = 0) -> OnnxModel:
    """A net of 8 channels made of ``blocks``, with a convolution in front and a mean and Gemm behind."""
    net = Net(seed=seed, opset=17)
    x = net.op("Relu", net.conv(net.input("x", ["N", 3, 16, 16]), 3, 8))
    for block in blocks:
        x = _block(net, block, x)
    flat = net.op("Flatten", net.op("GlobalAveragePool", x))
    net.op("Gemm", flat, net.weight(net.random(5, 8)), net.weight(net.rng.uniform(-1, 1, 5)), out="y", transB=1)
    net.output("y", ["N", 5])
    return net.model("typed")


def _block(net: Net, block: str, x: str) -> str:
    if block in ("residual", "downsample"):
        shortcut = net.conv(x, 8, 8, k=1) if block == "downsample" else x
        deep = net.conv(net.op("Relu", net.conv(x, 8, 8)), 8, 8)
        return net.op(
            "Relu", net.op("Add", shortcut, deep) if net.rng.random() < 0.5 else net.op("Add", deep, shortcut)
        )
    if block == "depthwise":
        return net.op("Clip", net.conv(x, 8, 8, group=8), net.weight(0.0), net.weight(6.0))
    if block == "gate":
        small = net.op("Relu", net.conv(net.op("GlobalAveragePool", x), 8, 4, k=1))
        return net.op("Mul", x, net.op("Sigmoid", net.conv(small, 4, 8, k=1)))
    if block == "pool":
        return net.conv(net.op("MaxPool", x, kernel_shape=[3, 3], pads=[1] * 4), 8, 8)
    if block == "branches":
        return net.conv(net.op("Concat", net.op("Relu", net.conv(x, 8, 4)), x, axis=1), 12, 8)
    if block == "upsample":
        weight, bias = net.weight(net.random(8, 8, 2, 2)), net.weight(net.rng.uniform(-1, 1, 8))
        up = net.op("ConvTranspose", x, weight, bias, strides=[2, 2])
        return net.op("MaxPool", up, kernel_shape=[2, 2], strides=[2, 2])
    return net.op("Relu", net.conv(x, 8, 8))


def images(count: int, channels: int = 3, size: int = 16, seed: int = 9) -> list[Feeds]:
    rng = np.random.default_rng(seed)
    return [{"x": rng.normal(0.2, 1, (1, channels, size, size)).astype(np.float32)} for _ in range(count)]


def signal_to_noise(reference: np.ndarray, answer: np.ndarray) -> float:
    """Decibels."""
    noise = float(np.sum((reference - answer) ** 2))
    return float("inf") if noise == 0.0 else 10 * float(np.log10(np.sum(reference**2) / noise))


def worst_ratio(before: OnnxModel, after: OnnxModel, feeds: Sequence[Feeds]) -> float:
    """The lowest signal-to-noise ratio over all float outputs, in decibels, all samples together."""
    wanted, had = list(ort_run(before, feeds)), list(ort_run(after, feeds))
    ratios = []
    for name in wanted[0]:
        want = np.concatenate([np.ravel(item[name]) for item in wanted]).astype(np.float64)
        have = np.concatenate([np.ravel(item[name]) for item in had]).astype(np.float64)
        ratios.append(signal_to_noise(want, have))
    return min(ratios)


def kinds(model: OnnxModel) -> list[str]:
    return [node.op_type for node in model.ir.graph]


@pytest.fixture(scope="session")
def q() -> ModuleType:
    """This module: ``q.Net``, ``q.site_of``, ``q.RULE``, ``q.worst_ratio``."""
    return sys.modules[__name__]
