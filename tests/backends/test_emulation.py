"""The emulation of typed models on a CPU, held to numpy's own rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewright.backends import Artifact, registry
from edgewright.backends._emulation import ENTRY, emulated, in_float32
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

HALVES = {TensorProto.FLOAT16: np.dtype(np.float16), TensorProto.BFLOAT16: np.dtype(ml_dtypes.bfloat16)}


def parsed(body: str, opset: int = 19, **weights: Array) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : {opset}]>\n{body}')
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return proto


def artifact_of(proto: onnx.ModelProto, folder: Path) -> Artifact:
    model = OnnxModel(ir.from_proto(proto), "typed")
    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder / "model.onnx")
    properties = {"typed": "model.onnx", "compute_capability": "8.7"}
    return Artifact(
        "tensorrt", folder, "model.onnx", ("model.onnx",), model.inputs, model.outputs, properties, {}, "later"
    )


def run(proto: onnx.ModelProto, folder: Path, **feeds: Array) -> dict[str, Array]:
    made = emulated(artifact_of(proto, folder))
    with registry().find("onnxruntime")().open(made, threads=1) as session:
        return dict(session.run(feeds))


def bits(array: Array) -> Array:
    """What can be compared exactly, NaN, infinities and signs of zero included."""
    whole = np.ascontiguousarray(array)
    same: Array = np.where(np.isnan(whole.astype(np.float32)), np.nan, whole.astype(np.float64))
    return same


@dataclass(frozen=True)
class Step:
    """One operator on the value before it and another, or a constant."""

    op: str
    other: int
    constant: float


STEPS = st.builds(
    Step,
    st.sampled_from(["Add", "Sub", "Mul", "Relu", "Transpose", "Sqrt", "Neg", "Max"]),
    st.integers(0, 100),
    st.sampled_from([0.1, -3.3, 700.0, 1e-4, 65504.0]),
)


def typed_graph(steps: Sequence[Step], half: int) -> onnx.ModelProto:
    dtype = HALVES[half]
    nodes = [helper.make_node("Cast", ["x"], ["v0"], to=half)]
    weights = []
    for index, step in enumerate(steps, 1):
        before, out = f"v{index - 1}", [f"v{index}"]
        if step.op in ("Relu", "Transpose", "Sqrt", "Neg"):
            nodes.append(helper.make_node(step.op, [before], out))
            continue
        second = f"v{step.other % index}" if step.other % 3 else f"c{index}"
        if second.startswith("c"):
            array = np.array(step.constant, np.float32).astype(dtype)
            raw = array.tobytes()
            weights.append(helper.make_tensor(second, half, [], raw, raw=True))
        nodes.append(helper.make_node(step.op, [before, second], out))
    nodes.append(helper.make_node("Cast", [f"v{len(steps)}"], ["y"], to=TensorProto.FLOAT))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4, 4])],
        weights,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
    proto.ir_version = 9
    return proto


def by_numpy(steps: Sequence[Step], half: int, x: Array) -> Array:
    """Each operator in float32, its result rounded to nearest even: what a 16-bit operator is."""
    dtype = HALVES[half]

    def rounded(array: Array) -> Array:
        return array.astype(dtype).astype(np.float32)

    values = [rounded(x)]
    with np.errstate(all="ignore"):
        for index, step in enumerate(steps, 1):
            a = values[-1].astype(np.float32)
            constant = rounded(np.array(step.constant, np.float32))
            b = (values[step.other % index] if step.other % 3 else constant).astype(np.float32)
            result: Array = {
                "Add": lambda a=a, b=b: a + b,
                "Sub": lambda a=a, b=b: a - b,
                "Mul": lambda a=a, b=b: a * b,
                "Max": lambda a=a, b=b: np.maximum(a, b),
                "Relu": lambda a=a: np.maximum(a, np.float32(0)),
                "Neg": lambda a=a: -a,
                "Sqrt": lambda a=a: np.sqrt(a),
                "Transpose": lambda a=a: a.T,
            }[step.op]()
            values.append(rounded(result))
    return values[-1]


@pytest.mark.parametrize("half", list(HALVES), ids=["fp16", "bf16"])
@given(steps=st.lists(STEPS, min_size=1, max_size=8), seed=st.integers(0, 2**16))
@settings(max_examples=40, deadline=None)
def test_every_result_is_rounded_as_numpy_rounds_it(
    tmp_path_factory: pytest.TempPathFactory, half: int, steps: list[Step], seed: int
) -> None:
    x = (np.random.default_rng(seed).normal(0, 1, (4, 4)) * 10.0 ** (seed % 5)).astype(np.float32)
    expected = by_numpy(steps, half, x)
    if np.isnan(expected).any():
        return  # which of two NaN a Max gives is nobody's promise
    got = run(typed_graph(steps, half), tmp_path_factory.mktemp("typed"), x=x)["y"]
    np.testing.assert_array_equal(bits(got), bits(expected))


@pytest.mark.parametrize("half", list(HALVES), ids=["fp16", "bf16"])
def test_sums_are_float32_and_rounded_once(tmp_path: Path, half: int) -> None:
    """A sum of 2048 ones and a half: a 16-bit accumulator would stand still long before the end."""
    dtype = HALVES[half]
    body = f"""net (float[1,4096] x) => (float[1,1] y) {{
        h = Cast <to = {half}> (x)
        m = MatMul (h, w)
        y = Cast <to = 1> (m)
    }}"""
    proto = parsed(body)
    ones = np.ones((4096, 1), np.float32).astype(dtype)
    proto.graph.initializer.append(helper.make_tensor("w", half, [4096, 1], ones.tobytes(), raw=True))
    got = run(proto, tmp_path, x=np.full((1, 4096), 0.5, np.float32))["y"]
    assert got.item() == 2048.0


def test_what_float16_cannot_hold_becomes_infinite(tmp_path: Path) -> None:
    body = """net (float[3] x) => (float[3] y, float16[3] z) {
        h = Cast <to = 10> (x)
        z = Mul (h, h)
        y = Cast <to = 1> (z)
    }"""
    got = run(parsed(body), tmp_path, x=np.array([200.0, 256.0, -300.0], np.float32))
    assert got["y"].tolist() == [40000.0, np.inf, np.inf]
    assert got["z"].dtype == np.float16
    assert got["z"].tolist() == got["y"].tolist()


def test_inputs_and_outputs_keep_names_and_types(tmp_path: Path) -> None:
    """One that goes straight through, one that is a copy, one whose rounding is the last thing done."""
    body = """net (float16[2] x, bfloat16[2] b) => (float16[2] x, float16[2] r, float16[2] s, bfloat16[2] t) {
        r = Relu (x)
        s = Add (x, r)
        t = Mul (b, b)
    }"""
    x = np.array([0.1, -2.0], np.float16)
    b = np.array([1.1, 3.0], ml_dtypes.bfloat16)
    got = run(parsed(body), tmp_path, x=x, b=b)
    assert list(got) == ["x", "r", "s", "t"]
    assert got["x"].tolist() == x.tolist()
    assert got["r"].tolist() == np.maximum(x, 0).tolist()
    assert got["s"].tolist() == (x + np.maximum(x, 0)).tolist()
    assert got["t"].dtype == b.dtype
    assert got["t"].tolist() == (b * b).tolist()


def test_codes_of_eight_bits_stay_and_their_scales_keep_their_value(tmp_path: Path) -> None:
    scale = np.array(0.1, np.float16)
    body = """net (float[4] x) => (float[4] y) {
        h = Cast <to = 10> (x)
        q = QuantizeLinear (h, s, z)
        d = DequantizeLinear (q, s, z)
        y = Cast <to = 1> (d)
    }"""
    proto = parsed(body, s=scale, z=np.array(0, np.int8))
    x = np.array([0.26, -0.5, 100.0, 1.0], np.float32)
    got = run(proto, tmp_path, x=x)["y"]
    wide = np.float32(scale)
    codes = np.clip(np.rint(x.astype(np.float16).astype(np.float32) / wide), -128, 127)
    assert got.tolist() == (codes.astype(np.float32) * wide).astype(np.float16).astype(np.float32).tolist()
    model = onnx.load(tmp_path / ENTRY)
    kinds = {item.name: item.data_type for item in model.graph.initializer}
    assert kinds == {"s": TensorProto.FLOAT, "z": TensorProto.INT8}


def test_float8_codes_are_computed(tmp_path: Path) -> None:
    body = """net (float[3] x) => (float[3] y) {
        h = Cast <to = 10> (x)
        q = QuantizeLinear (h, s, z)
        d = DequantizeLinear (q, s, z)
        y = Cast <to = 1> (d)
    }"""
    proto = parsed(body, s=np.array(1.0, np.float16))
    zero = helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], b"\0", raw=True)
    proto.graph.initializer.append(zero)
    x = np.array([1.06, -3.3, 1000.0], np.float32)
    # 448 is the largest number of E4M3 without infinities; beyond it ONNX saturates.
    expected = np.clip(x, -448, 448).astype(ml_dtypes.float8_e4m3fn).astype(np.float32)
    assert run(proto, tmp_path, x=x)["y"].tolist() == expected.tolist()


def test_float8_products_are_left_as_they_are_written(tmp_path: Path) -> None:
    body = """net (float[1,2] x) => (float[1,1] y) {
        h = Cast <to = 10> (x)
        r = Relu (h)
        q = QuantizeLinear (r, s, z)
        d = DequantizeLinear (q, s, z)
        v = DequantizeLinear (w, s, z)
        m = MatMul (d, v)
        y = Cast <to = 1> (m)
    }"""
    proto = parsed(body, s=np.array(1.0, np.float16))
    proto.graph.initializer.append(helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], b"\0", raw=True))
    weight = np.array([[2.0], [1.0]], ml_dtypes.float8_e4m3fn)
    proto.graph.initializer.append(
        helper.make_tensor("w", TensorProto.FLOAT8E4M3FN, [2, 1], weight.tobytes(), raw=True)
    )
    assert run(proto, tmp_path, x=np.array([[1.06, -3.0]], np.float32))["y"].tolist() == [[2.0]]


def test_branches_loops_and_constants_are_looked_into(tmp_path: Path) -> None:
    body = """net (bool c, float[2] x) => (float[2] y) {
        h = Cast <to = 10> (x)
        k = Constant ()
        z = ConstantOfShape (shape)
        b = If (c) <
            then_branch = then () => (float16[2] t) { t = Add (h, k) },
            else_branch = else () => (float16[2] e) { e = Mul (h, z) }
        >
        f, all = Loop (n, always, b) <
            body = step (int64 i, bool go, float16[2] state) => (bool more, float16[2] next, float16[2] kept) {
                more = Identity (go)
                next = Add (state, h)
                kept = Identity (next)
            }
        >
        y = Cast <to = 1> (f)
    }"""
    proto = parsed(body, shape=np.array([2], np.int64), n=np.array(3, np.int64), always=np.array(True))
    for node, number in zip(proto.graph.node[1:3], (0.1, 0.3), strict=True):
        value = numpy_helper.from_array(np.array([number], np.float16))
        node.attribute.append(helper.make_attribute("value", value))
    x = np.array([0.7, 1.3], np.float32)
    h = x.astype(np.float16)
    for chosen in (True, False):
        state = h + np.float16(0.1) if chosen else h * np.float16(0.3)
        for _ in range(3):
            state = state + h
        got = run(proto, tmp_path / str(chosen), c=np.array(chosen), x=x)["y"]
        assert got.tolist() == state.astype(np.float32).tolist()


def test_nothing_of_16_bits_is_computed_in_16_bits(tmp_path: Path) -> None:
    body = """net (float[1,2,4,4] x) => (float[1,2,4,4] y) {
        h = Cast <to = 16> (x)
        c = Conv <pads = [1,1,1,1]> (h, w)
        l = CastLike (x, c)
        a = Add (c, l)
        y = Cast <to = 1> (a)
    }"""
    proto = parsed(body)
    weights = np.random.default_rng(0).normal(size=(2, 2, 3, 3)).astype(ml_dtypes.bfloat16)
    proto.graph.initializer.append(
        helper.make_tensor("w", TensorProto.BFLOAT16, [2, 2, 3, 3], weights.tobytes(), raw=True)
    )
    model = ir.from_proto(proto)
    in_float32(model)
    for node in model.graph:
        if node.op_type != "Cast":
            assert ir.DataType.BFLOAT16 not in {value.dtype for value in node.inputs if value is not None}, node
    run(proto, tmp_path, x=np.ones((1, 2, 4, 4), np.float32))  # ONNX Runtime's CPU has no bfloat16 Conv


def test_the_emulation_is_no_file_of_the_artifact(tmp_path: Path) -> None:
    typed = artifact_of(typed_graph([Step("Relu", 0, 0.1)], TensorProto.FLOAT16), tmp_path)
    made = emulated(typed)
    assert made.backend == "onnxruntime"
    assert made.entry == ENTRY
    assert not made.pending
    assert typed.files == ("model.onnx",)
    assert made.versions.keys() == {"onnxruntime"}
    locked = tmp_path / "locked"
    elsewhere = artifact_of(typed_graph([Step("Relu", 0, 0.1)], TensorProto.FLOAT16), locked)
    (locked).chmod(0o500)
    try:
        assert emulated(elsewhere).path.exists()
    finally:
        locked.chmod(0o700)
