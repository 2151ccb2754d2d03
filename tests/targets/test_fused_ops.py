"""What targets declare is so: ONNX Runtime and OpenVINO run it here and agree, TensorRT-RTX builds it without a GPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

from edgewright.targets.load import load_targets

Values = Mapping[str, npt.NDArray[np.generic]]
RNG = np.random.default_rng(0)
MS = "com.microsoft"


def floats(*shape: int) -> npt.NDArray[np.float32]:
    return RNG.standard_normal(shape).astype(np.float32)


@dataclass(frozen=True)
class Op:
    """One node: what is fed, what is constant (in the operator's order, fed ones first), its attributes."""

    feeds: Values
    constants: Values = field(default_factory=dict)
    attributes: Mapping[str, object] = field(default_factory=dict)
    opset: int = 20
    output: int = onnx.TensorProto.FLOAT
    order: tuple[str, ...] = ()


X = {"x": floats(1, 8, 16)}
IMAGE = {"x": floats(1, 8, 10, 10)}
QKV4 = {name: floats(1, 2, 8, 8) for name in "qkv"}
GAIN = {"g": floats(16)}
GAIN_BIAS = {"g": floats(16), "b": floats(16)}
CHANNELS = {"g": floats(8), "b": floats(8)}
BYTES = {"x": RNG.integers(0, 9, (8, 16), dtype=np.uint8)}
WEIGHT8 = RNG.integers(-9, 9, (16, 16), dtype=np.int8)
TENTH, ZERO_U8, ZERO_S8 = np.array(0.1, np.float32), np.array(3, np.uint8), np.array(0, np.int8)
OPS: Mapping[str, Op] = {
    "::Attention": Op(QKV4, opset=23),
    "::Gelu": Op(X),
    "::GroupNormalization": Op(IMAGE, CHANNELS, {"num_groups": 2}, opset=21),
    "::HardSwish": Op(X),
    "::InstanceNormalization": Op(IMAGE, CHANNELS),
    "::LayerNormalization": Op(X, GAIN_BIAS),
    "::Mish": Op(X),
    "::RMSNormalization": Op(X, GAIN, opset=23),
    "::RotaryEmbedding": Op(
        {"x": floats(1, 2, 8, 8), "p": np.arange(8, dtype=np.int64)[None]},
        {"c": floats(8, 4), "s": floats(8, 4)},
        opset=23,
        order=("x", "c", "s", "p"),
    ),
    "::Swish": Op(X, opset=24),
    f"{MS}::Attention": Op(X, {"w": floats(16, 48), "b": floats(48)}, {"num_heads": 2}),
    f"{MS}::BiasGelu": Op(X, {"b": floats(16)}),
    f"{MS}::DynamicQuantizeMatMul": Op(X, {"w": WEIGHT8, "s": TENTH, "z": ZERO_S8}),
    f"{MS}::FastGelu": Op(X),
    f"{MS}::FusedConv": Op(
        IMAGE, {"w": floats(8, 8, 3, 3), "b": floats(8)}, {"activation": "Relu", "kernel_shape": [3, 3]}
    ),
    f"{MS}::FusedGemm": Op({"x": floats(4, 16)}, {"w": floats(16, 16), "b": floats(16)}, {"activation": "Relu"}),
    f"{MS}::FusedMatMul": Op(X, {"w": floats(16, 16)}, {"alpha": 0.5, "transB": 1}),
    f"{MS}::Gelu": Op(X),
    f"{MS}::MatMulIntegerToFloat": Op(BYTES, {"w": WEIGHT8, "xs": TENTH, "ws": TENTH, "xz": ZERO_U8, "wz": ZERO_S8}),
    f"{MS}::MultiHeadAttention": Op({name: floats(1, 8, 16) for name in "qkv"}, {}, {"num_heads": 2}),
    f"{MS}::QGemm": Op(
        BYTES,
        {
            "xs": TENTH,
            "xz": ZERO_U8,
            "w": WEIGHT8,
            "ws": TENTH,
            "wz": ZERO_S8,
            "c": np.zeros(16, np.int32),
            "ys": TENTH,
            "yz": ZERO_U8,
        },
        output=onnx.TensorProto.UINT8,
    ),
    f"{MS}::QuickGelu": Op(X, {}, {"alpha": 1.702}),
    f"{MS}::SkipLayerNormalization": Op({**X, "s": floats(1, 8, 16)}, {**GAIN_BIAS, "c": floats(16)}),
    f"{MS}::SkipSimplifiedLayerNormalization": Op({**X, "s": floats(1, 8, 16)}, GAIN),
}


def model(name: str, op: Op) -> bytes:
    domain, _, kind = name.partition("::")
    order = op.order or (*op.feeds, *op.constants)
    node = helper.make_node(kind, list(order), ["y"], domain=domain, **op.attributes)
    inputs = [
        helper.make_tensor_value_info(key, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for key, array in op.feeds.items()
    ]
    output = helper.make_tensor_value_info("y", op.output, None)
    constants = [numpy_helper.from_array(array, key) for key, array in op.constants.items()]
    graph = helper.make_graph([node], "one", inputs, [output], constants)
    opsets = [helper.make_opsetid("", op.opset), helper.make_opsetid(MS, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString()


def by_onnxruntime(name: str) -> npt.NDArray[np.generic]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model(name, OPS[name]), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, dict(OPS[name].feeds))[0])


def by_openvino(name: str) -> npt.NDArray[np.generic]:
    import openvino

    core = openvino.Core()
    config = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(model(name, OPS[name])), "CPU", config)
    return np.asarray(compiled(dict(OPS[name].feeds))[0])


@pytest.mark.parametrize("name", sorted(load_targets("native/onnxruntime")[0].fused_ops))
def test_onnxruntime_runs_it(name: str) -> None:
    assert np.isfinite(by_onnxruntime(name)).all()


@pytest.mark.parametrize("name", sorted(load_targets("native/openvino")[0].fused_ops))
def test_openvino_runs_it_and_agrees(name: str) -> None:
    pytest.importorskip("openvino")
    # Both compute in float32; FastGelu and the like have no more than six digits in common, integer sums are exact.
    np.testing.assert_allclose(by_openvino(name), by_onnxruntime(name), rtol=1e-4, atol=1e-4)


def built_by_tensorrt_rtx(data: bytes, capability: tuple[int, int]) -> bool:
    """Whether TensorRT-RTX makes an engine for a GPU of ``capability``, which need not be here."""
    rtx = pytest.importorskip("tensorrt_rtx")
    builder = rtx.Builder(rtx.Logger(rtx.Logger.INTERNAL_ERROR))
    network = builder.create_network(0)
    if not rtx.OnnxParser(network, rtx.Logger(rtx.Logger.INTERNAL_ERROR)).parse(data):
        return False
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(rtx.ComputeCapability, "SM{}{}".format(*capability)), 0)
    return builder.build_serialized_network(network, config) is not None


@pytest.mark.parametrize("name", sorted(load_targets("rtx-ampere/tensorrt")[0].fused_ops))
def test_tensorrt_rtx_builds_it(name: str) -> None:
    assert built_by_tensorrt_rtx(model(name, OPS[name]), (8, 6))


def quantised_convolution(code: int) -> bytes:
    """fp16 with Q/DQ of ``code`` around a convolution's inputs, as the typed model has them."""
    half, zeros = onnx.TensorProto.FLOAT16, np.zeros(16, np.int8).tobytes()
    constants = [
        numpy_helper.from_array(np.array(0.1, np.float16), "s"),
        helper.make_tensor("z", code, [], zeros[:1], raw=True),
        numpy_helper.from_array((floats(16, 16, 3, 3) / 9).astype(np.float16), "w"),
        numpy_helper.from_array(np.full(16, 0.01, np.float16), "ws"),
        helper.make_tensor("wz", code, [16], zeros, raw=True),
    ]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"]),
        helper.make_node("QuantizeLinear", ["w", "ws", "wz"], ["wq"], axis=0),
        helper.make_node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"]),
    ]
    values = [helper.make_tensor_value_info(*one) for one in (("x", half, (1, 16, 8, 8)), ("y", half, None))]
    graph = helper.make_graph(nodes, "one", values[:1], values[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@pytest.mark.parametrize("hardware", ["rtx-ampere", "rtx-ada", "rtx-blackwell"])
@pytest.mark.parametrize(
    ("precision", "code"), [("int8", onnx.TensorProto.INT8), ("fp8", onnx.TensorProto.FLOAT8E4M3FN)]
)
def test_tensorrt_rtx_builds_a_precision_for_exactly_the_gpus_that_have_it(
    hardware: str, precision: str, code: int
) -> None:
    (target,) = load_targets(f"{hardware}/tensorrt")
    assert target.compute_capability is not None
    built = built_by_tensorrt_rtx(quantised_convolution(code), target.compute_capability)
    assert built == (precision in target.precisions)


def one_relu(stamp: int) -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"])
    values = [helper.make_tensor_value_info(key, onnx.TensorProto.FLOAT, (1, 2)) for key in "xy"]
    graph = helper.make_graph([node], "one", values[:1], values[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", stamp)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("end", [0, 1])
def test_tensorrt_rtx_takes_both_ends_of_the_opset_range(end: int) -> None:
    (target,) = load_targets("rtx-ada/tensorrt")
    assert built_by_tensorrt_rtx(one_relu(target.opset[end]), (8, 9))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("end", [0, 1])
def test_both_ends_of_the_opset_range_load(runtime: str, end: int) -> None:
    pytest.importorskip(runtime)
    data = one_relu(load_targets(f"native/{runtime}")[0].opset[end])
    feed = {"x": np.array([[-1, 2]], np.float32)}
    if runtime == "onnxruntime":
        import onnxruntime

        found = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(None, feed)[0]
    else:
        import openvino

        found = openvino.Core().compile_model(openvino.Core().read_model(data), "CPU")(feed)[0]
    np.testing.assert_array_equal(found, [[0, 2]])
