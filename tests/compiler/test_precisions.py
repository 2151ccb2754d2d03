from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.macs import count_macs
from edgewright.compiler.passes.cast_half import CastHalf, CastHalfOptions
from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.precisions import typed_precisions
from edgewright.compiler.quantization.planning import StaticOptions
from edgewright.core.model import OnnxModel

from .quantization import conftest as tools


def quantized(model, feeds, rule=tools.TYPED, fp8=None, **options):
    site = tools.site_of(model, feeds, target=tools.target(rule, fp8))
    outcome = StaticQuantize(StaticOptions(**options))(model, site)
    return CastHalf()(outcome.model, site).model if rule is tools.TYPED else outcome.model, outcome.notes


def test_a_plain_model_is_float32_throughout():
    model = tools.typed_net(["residual", "gate"])
    found = typed_precisions(model)
    assert found.shares == {"fp32": 1.0}
    assert found.operators == {"fp32": 6}
    assert found.macs == count_macs(model).total
    assert found.complete
    assert found.weight_ratio == 1.0
    assert found.total_weight_bytes == model.size_bytes


def test_16_bits_weigh_half():
    model = tools.typed_net(["residual"])
    half = CastHalf(CastHalfOptions())(model, tools.site_of(model, tools.images(2))).model
    found = typed_precisions(half)
    assert found.shares == {"fp16": 1.0}
    assert found.weight_ratio == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("codes", "name"), [("int8", "int8"), ("fp8", "fp8")])
def test_codes_count_and_what_stayed_has_its_reason(codes, name):
    model, feeds = tools.typed_net(["plain", "pool", "branches"]), tools.images(4)
    kept = next(node.name for node in model.ir.graph if node.op_type == "Conv")
    result, notes = quantized(model, feeds, fp8=tools.FLOAT8, codes=codes, keep_float=(kept,))
    found = typed_precisions(result, notes)
    macs = {item.name: item.macs for item in found.floats}
    assert macs == {kept: 8 * 16 * 16 * 3 * 9}
    assert found.floats[0].reason == "left in float on request"
    assert found.shares[name] == pytest.approx(1 - macs[kept] / found.macs)
    assert found.shares["fp16"] == pytest.approx(macs[kept] / found.macs)
    assert found.operators == {name: 5, "fp16": 1}
    # The same numbers without scales; the small biases and scales of a small net cost more than 0.25.
    assert found.float32_bytes == pytest.approx(model.size_bytes)
    assert 0.25 < found.weight_ratio < 0.4


@pytest.mark.parametrize("scheme", ["integer", "inputs"])
def test_other_runtimes_pairs_count_too_through_movers_and_with_int32_biases(scheme):
    model, feeds = tools.residual_net(), tools.images(4)
    result, _ = quantized(model, feeds, tools.RULE, scheme=scheme, keep_kinds=("Gemm",))
    found = typed_precisions(result)
    assert found.operators == {"int8": 4, "fp32": 1}
    assert found.weight_bytes["int32"] == (16 + 16 + 16 + 24) * 4 * 2  # and as many zero points
    assert found.float32_bytes == pytest.approx(model.size_bytes, rel=0.01)


def test_computed_operands_have_a_reason_without_notes():
    net = tools.Net()
    x = net.input("x", [1, 6, 8])
    a = net.op("MatMul", x, net.weight(net.random(8, 8)))
    net.op("MatMul", a, net.op("Transpose", a, perm=[0, 2, 1]), out="y")
    net.output("y", [1, 6, 6])
    feeds = [{"x": np.random.default_rng(i).standard_normal((1, 6, 8)).astype(np.float32)} for i in range(4)]
    result, notes = quantized(net.model(), feeds)
    plain, told = typed_precisions(result), typed_precisions(result, notes)
    assert [item.reason for item in plain.floats] == ["it multiplies what is computed"]
    assert [item.reason for item in told.floats] == ["its weight is computed, not constant"]
    assert plain.shares == {"fp16": pytest.approx(288 / 672), "int8": pytest.approx(384 / 672)}


def test_a_reason_given_to_many_at_once_is_found():
    net = tools.Net()
    x = net.input("x", [1, 6, 8])
    for _ in range(5):
        x = net.op("MatMul", x, net.op("Neg", net.weight(net.random(8, 8))))
    net.op("MatMul", x, net.weight(net.random(8, 8)), out="y")
    net.output("y", [1, 6, 8])
    feeds = [{"x": np.ones((1, 6, 8), np.float32)}] * 2
    result, notes = quantized(net.model(), feeds)
    assert {item.reason for item in typed_precisions(result, notes).floats} == {"its weight is computed, not constant"}


def test_sizes_known_only_at_run_time_are_said():
    net = tools.Net()
    x = net.input("x", ["N", "T", 8])
    net.op("MatMul", x, net.weight(net.random(8, 8)), out="y")
    net.output("y", ["N", "T", 8])
    found = typed_precisions(net.model())
    assert not found.complete
    assert found.macs == 0
    assert found.shares == {}
    assert found.operators == {"fp32": 1}


def test_the_json_form_is_json():
    found = typed_precisions(tools.typed_net(["plain"]))
    data = json.loads(json.dumps(found.to_json()))
    assert data["shares"] == {"fp32": 1.0}
    assert data["floats"][0]["kind"] == "Conv"
    assert data["weight_ratio"] == 1.0
    assert replace(found, macs=0).to_json()["macs"] == 0


@pytest.mark.parametrize(("kind", "count"), [("Concat", 60), ("Identity", 3000)])
def test_what_only_moves_values_may_be_many_and_may_join_itself(kind, count):
    """As many paths as a graph can have, and as long a one: neither time nor the stack grows with them."""
    value = first = ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([1, 4]))
    nodes = []
    for index in range(count):
        inputs = [value, value] if kind == "Concat" else [value]
        node = ir.node(kind, inputs, {"axis": 1} if kind == "Concat" else {}, name=f"{index}")
        nodes.append(node)
        value = node.outputs[0]
        value.name = f"v{index}"
    product = ir.node("MatMul", [value, value], name="product")
    product.outputs[0].name = "y"
    product.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph([first], product.outputs, nodes=[*nodes, product], opset_imports={"": 20})
    found = typed_precisions(OnnxModel(ir.Model(graph, ir_version=10), "net"))
    assert found.operators == {"fp32": 1}
