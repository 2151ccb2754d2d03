"""16 bits behind quantisation: what CastHalf makes of Q/DQ pairs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.compiler.passes.cast_half import CastHalf, CastHalfOptions
from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.core.model import OnnxModel

from .conftest import answers
from .quantization import conftest as tools

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FLOATS = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16)


def typed(model: OnnxModel, feeds, rule=tools.TYPED, precision="int8", **changes) -> tuple[OnnxModel, OnnxModel, str]:
    """The quantised model, what CastHalf makes of it, and what that said."""
    goal = tools.target(rule, rule if precision == "fp8" else None)
    site = tools.site_of(model, feeds, target=replace(goal, **changes))
    assert StaticQuantize.wanted(site.target, precision) is None
    assert CastHalf.wanted(site.target, precision) is None
    first = StaticQuantize(StaticQuantize.options_for(site.target, precision))(model, site).model
    outcome = CastHalf(CastHalf.options_for(site.target, precision))(first, site)
    return first, outcome.model, "\n".join(f"{note.subject}: {note.text}" for note in outcome.notes)


def ratio(before: OnnxModel, after: OnnxModel, feeds) -> float:
    """Decibels. Without onnxruntime's own optimisations: it quantises biases with 16-bit scales that underflow."""
    pairs = list(zip(answers(before, feeds), answers(after, feeds), strict=True))
    want = np.concatenate([np.ravel(one[name]) for one, _ in pairs for name in one]).astype(np.float64)
    have = np.concatenate([np.ravel(two[name]) for one, two in pairs for name in one]).astype(np.float64)
    return tools.signal_to_noise(want, have)


def reals_of(node: ir.Node) -> ir.Value:
    return node.inputs[0] if node.op_type == "QuantizeLinear" else node.outputs[0]


def check_types(model: OnnxModel, half: ir.DataType) -> None:
    for node in model.ir.graph:
        if node.op_type in HEAVY:
            assert [node.inputs[0].dtype, node.inputs[1].dtype, node.outputs[0].dtype] == [half] * 3, node.name
            assert all(value.producer().op_type == "DequantizeLinear" for value in node.inputs[:2])
            assert all(value.is_initializer() and value.dtype == half for value in node.inputs[2:])
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert node.inputs[1].dtype == reals_of(node).dtype
            assert not node.inputs[2].const_value.numpy().astype(np.float32).any()
        if node.op_type == "DequantizeLinear":
            quantizer = node.inputs[0].producer()
            assert node.outputs[0].dtype == half
            assert all(use.node.op_type != "Cast" for use in node.outputs[0].uses())
            if quantizer is not None:
                assert float(quantizer.inputs[1].const_value.numpy()) == float(node.inputs[1].const_value.numpy())
        if node.op_type == "Cast":
            sources = [node.inputs[0].producer(), *(use.node for use in node.outputs[0].uses())]
            assert not any(other is not None and other.op_type == "Cast" for other in sources), node.name


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    blocks=st.lists(st.sampled_from(tools.BLOCKS), min_size=1, max_size=4),
    seed=st.integers(0, 3),
    precision=st.sampled_from(["int8", "fp8"]),
)
def test_pairs_give_16_bits_and_nothing_is_cast_on_the_way(blocks, seed, precision):
    model, feeds = tools.typed_net(blocks, seed), tools.images(4)
    rule = tools.FLOAT8 if precision == "fp8" else tools.TYPED
    first, result, said = typed(model, feeds, rule, precision)
    assert "compute in float16" in said
    check_types(result, ir.DataType.FLOAT16)
    assert result.ir.graph.opset_imports[""] == 19
    assert result.inputs == model.inputs
    assert result.outputs == model.outputs
    onnx.checker.check_model(ir.to_proto(result.ir), full_check=True)
    # Codes were computed for the scales as written; values on the edge of two steps may fall either way.
    assert ratio(first, result, feeds) > 28
    # 8 bits leave about 35 dB on such nets, three bits of mantissa about 25.
    assert ratio(model, result, feeds) > (22 if precision == "int8" else 16)


def test_the_range_is_checked_and_layers_are_ranked_behind_float8_too():
    model, feeds = tools.typed_net(["depthwise", "residual"]), tools.images(4)
    site = tools.site_of(model, feeds, target=tools.target(tools.TYPED, tools.FLOAT8))  # with a Clip in front of a pair
    passed = StaticQuantize(StaticQuantize.options_for(site.target, "fp8"))
    outcome = CastHalf()(passed(model, site).model, site)
    assert not [note for note in outcome.notes if note.kind == "warning"]
    ranked = passed.damage(model, site)
    assert {item.layer for item in ranked} >= {node.name for node in model.ir.graph if node.op_type == "Conv"}
    assert 0 < ranked[0].error < 0.1


def test_bfloat16_behind_quantisation_is_valid():
    scheme = replace(tools.TYPED.schemes[0], float_rest="bf16")
    rule = replace(tools.TYPED, schemes=(scheme,))
    _, result, _ = typed(tools.typed_net(["residual", "gate"]), tools.images(4), rule)
    check_types(result, ir.DataType.BFLOAT16)
    assert result.ir.graph.opset_imports[""] == 22
    onnx.checker.check_model(ir.to_proto(result.ir), full_check=True)


def test_an_older_target_keeps_float32_around_its_codes():
    _, result, said = typed(tools.typed_net(["residual"]), tools.images(4), opset=(7, 17))
    assert "codes become float16 values only from opset 19 on" in said
    heavy = [node for node in result.ir.graph if node.op_type in HEAVY]
    assert {node.outputs[0].dtype for node in heavy} == {ir.DataType.FLOAT}
    assert all(use.node.op_type != "Cast" for node in heavy for use in node.inputs[0].producer().outputs[0].uses())


def test_a_layer_with_large_values_stays_float32_with_its_pairs():
    net = tools.Net(seed=1)
    x = net.op("Relu", net.conv(net.input("x", [1, 3, 8, 8]), 3, 4))
    large = net.op("Mul", x, net.weight(30000.0))
    back = net.op("Mul", net.conv(large, 4, 4), net.weight(1e-4))
    net.conv(net.op("Relu", back), 4, 4, out="y")
    net.output("y", [1, 4, 8, 8])
    model, feeds = net.model(), tools.images(6, size=8)
    _, result, said = typed(model, feeds)
    assert "values near float16's limit pass through it" in said
    kinds = {node.name: node.outputs[0].dtype for node in result.ir.graph if node.op_type == "Conv"}
    assert list(kinds.values()) == [ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.FLOAT16]
    for node in result.ir.graph:
        if node.op_type == "DequantizeLinear":
            assert all(use.node.op_type != "Cast" for use in node.outputs[0].uses())
    assert ratio(model, result, feeds) > 22


def test_a_model_that_came_quantised_loses_its_int32_biases():
    model, feeds = tools.typed_net(["residual", "depthwise"]), tools.images(4)
    rule = replace(tools.TYPED, bias="int32", schemes=(replace(tools.TYPED.schemes[0], float_rest="fp32"),))
    site = tools.site_of(model, feeds, rule)
    came = StaticQuantize()(model, site).model
    assert any(node.inputs[0].dtype == ir.DataType.INT32 for node in came.ir.graph)
    outcome = CastHalf()(came, tools.site_of(came, feeds))
    check_types(outcome.model, ir.DataType.FLOAT16)
    assert ratio(came, outcome.model, feeds) > 28


def test_it_is_wanted_behind_codes_where_the_rest_must_be_written():
    goal = tools.target(tools.TYPED, tools.FLOAT8)
    assert CastHalf.wanted(goal, "int8") is None
    assert CastHalf.wanted(goal, "fp8") is None
    assert CastHalf.options_for(goal, "int8") == CastHalfOptions("float16")
    told = replace(goal, hinted_precisions=frozenset({"fp16"}))
    assert "needs no 16-bit type written" in (CastHalf.wanted(told, "int8") or "")
    assert "needs no 16-bit type written" in (CastHalf.wanted(tools.target(), "int8") or "")
    assert "has no fp8" in (StaticQuantize.wanted(tools.target(), "fp8") or "")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_of_a_pair_with_a_float32_end_both_scales_are_the_same_number(dtype):
    # A scale as a foreign tool writes it: no number of either type.
    text = """g (float[1,4] x) => (float[1,4] y) {
        q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z) a = Add (d, d) y = Relu (a) }"""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}')
    for name, array in {"s": np.float32(0.0123), "z": np.int8(0)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    model = OnnxModel(ir.from_proto(proto), "g")
    result = CastHalf(CastHalfOptions(dtype))(model, tools.site_of(model, [{"x": np.ones((1, 4), np.float32)}])).model
    scales = {node.op_type: node.inputs[1].const_value for node in result.ir.graph if len(node.inputs) == 3}
    assert scales["QuantizeLinear"].dtype == ir.DataType.FLOAT
    assert scales["DequantizeLinear"].dtype.name.lower() == dtype
    assert float(scales["QuantizeLinear"].numpy()) == float(scales["DequantizeLinear"].numpy())
    assert model.ir.graph.initializers["s"].const_value.numpy() == np.float32(0.0123)  # the one that came is as it was


@pytest.mark.parametrize(("scale", "narrow"), [(2.5 * 2.0**-24, False), (3.0 * 2.0**-24, True), (1e-4, True)])
def test_a_scale_that_16_bits_would_move_far_keeps_its_reader_in_float32(scale, narrow):
    text = """g (float[1,4] x) => (float[1,4] y) { w = DequantizeLinear (c, s, z) y = MatMul (x, w) }"""
    proto = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]>\n{text}')
    for name, array in {"s": np.float32(scale), "z": np.int8(0), "c": np.full((4, 4), 100, np.int8)}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    model = OnnxModel(ir.from_proto(proto), "g")
    site = tools.site_of(model, [{"x": np.ones((1, 4), np.float32)}])
    outcome = CastHalf()(model, site)
    product = next(node for node in outcome.model.ir.graph if node.op_type == "MatMul")
    assert (product.inputs[1].dtype == ir.DataType.FLOAT16) is narrow
    told = [note.text for note in outcome.notes if "a scale in front of it is no number of float16" in note.text]
    assert bool(told) is not narrow
