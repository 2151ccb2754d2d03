from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.quantization.placement import place
from edgewright.compiler.quantization.planning import StaticOptions
from edgewright.compiler.quantization.prepare import prepare

from . import conftest as tools

HEAVY = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def placed(model, scheme):
    return place(prepare(model).ir.graph, scheme, frozenset(), frozenset())


def quantized(model, rule=tools.TYPED, feeds=None, **options):
    site = tools.site_of(model, feeds or tools.images(6), rule)
    return StaticQuantize(StaticOptions(**options))(model, site).model


def maker(node, index):
    value = node.inputs[index] if index < len(node.inputs) else None
    producer = value.producer() if value is not None else None
    return producer.op_type if producer is not None else ""


def nodes(model, *kinds):
    return [node for node in model.ir.graph if node.op_type in kinds]


@settings(max_examples=12, deadline=None, derandomize=True)
@given(blocks=st.lists(st.sampled_from(tools.BLOCKS), min_size=1, max_size=4), seed=st.integers(0, 3))
def test_pairs_stand_where_kernels_fuse(blocks, seed):
    model = tools.typed_net(blocks, seed)
    result = quantized(model)
    for node in nodes(result, *HEAVY):
        assert (maker(node, 0), maker(node, 1)) == ("DequantizeLinear", "DequantizeLinear"), node.name
        assert node.inputs[2].is_initializer()
        assert node.inputs[2].dtype == ir.DataType.FLOAT
    for node in nodes(result, "Relu", "Clip", "Sigmoid", "GlobalAveragePool"):
        assert maker(node, 0) != "DequantizeLinear", node.name
    for node in nodes(result, "Add"):
        makers = sorted((maker(node, 0), maker(node, 1)))
        reader = next(iter(node.outputs[0].uses())).node  # the Relu
        read = {use.node.op_type for use in reader.outputs[0].uses()}
        assert makers == (["Conv", "DequantizeLinear"] if "QuantizeLinear" in read else ["Conv", makers[1]])
    for node in nodes(result, "QuantizeLinear", "DequantizeLinear"):
        zero = node.inputs[2].const_value
        assert zero.dtype == ir.DataType.INT8
        assert not zero.numpy().any()
    # 8 bits leave about 35 dB on nets of this depth; a wrong grid anywhere costs more than 10.
    assert tools.worst_ratio(model, result, tools.images(6)) > 22


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_branches_with_anchors_the_shortcut_is_quantised(swapped):
    net = tools.Net(seed=1)
    x = net.op("Relu", net.conv(net.input("x", [1, 3, 8, 8]), 3, 4))
    shortcut = net.conv(x, 4, 4, k=1)
    deep = net.conv(net.op("Relu", net.conv(x, 4, 4)), 4, 4)
    total = net.op("Relu", net.op("Add", deep, shortcut) if swapped else net.op("Add", shortcut, deep))
    net.conv(total, 4, 4, out="y")
    net.output("y", [1, 4, 8, 8])
    placement = placed(net.model(), tools.TYPED.schemes[0])
    assert shortcut in {value.name for value in placement.grids}
    assert deep not in {value.name for value in placement.grids}
    (add,) = [op for op in placement.ops if op.node.op_type == "Add"]
    assert add.output.name == total
    assert [value.name for value in add.read] == [shortcut]


def test_a_branch_that_others_read_is_quantised_and_the_other_one_joins():
    net = tools.Net(seed=1)
    x = net.op("Relu", net.conv(net.input("x", [1, 3, 8, 8]), 3, 4))
    first = net.conv(x, 4, 4)
    second = net.conv(x, 4, 4)
    total = net.op("Add", first, second)
    net.conv(total, 4, 4, out="y")
    net.conv(second, 4, 4, out="z")  # the later one's result is wanted elsewhere too
    net.output("y", [1, 4, 8, 8])
    net.output("z", [1, 4, 8, 8])
    names = {value.name for value in placed(net.model(), tools.TYPED.schemes[0]).grids}
    assert second in names
    assert first not in names


def test_a_clamped_branch_is_no_branch_of_an_anchor():
    net = tools.Net(seed=1)
    x = net.op("Relu", net.conv(net.input("x", [1, 3, 8, 8]), 3, 4))
    deep = net.op("Relu", net.conv(x, 4, 4))
    net.conv(net.op("Add", deep, x), 4, 4, out="y")
    net.output("y", [1, 4, 8, 8])
    names = {value.name for value in placed(net.model(), tools.TYPED.schemes[0]).grids}
    assert {deep, x} <= names


def test_an_add_behind_a_float_anchor_stays_float():
    model = tools.typed_net(["residual", "plain"])
    graph = prepare(model).ir.graph
    add = next(node for node in graph if node.op_type == "Add")
    deep = next(value.producer() for value in add.inputs if value.producer().op_type == "Conv")
    placement = place(graph, tools.TYPED.schemes[0], frozenset({deep.name}), frozenset())
    assert add not in placement.nodes
    assert placement.refused[add.name] == "its inputs are float"


def test_where_outputs_are_quantised_too_none_stands_in_front_of_the_add():
    scheme = replace(tools.INTEGER, residual_adds=True)
    rule = replace(tools.RULE, schemes=(scheme,))
    result = quantized(tools.typed_net(["residual", "plain"]), rule)
    (add,) = nodes(result, "Add")
    assert sorted((maker(add, 0), maker(add, 1))) == ["Conv", "DequantizeLinear"]


def test_in_a_transformer_block_biases_stay_and_attention_is_float():
    net = tools.Net(seed=2)
    x = net.input("x", [1, 6, 8])

    def dense(value, wide=8, narrow=8):
        product = net.op("MatMul", value, net.weight(net.random(narrow, wide)))
        return net.op("Add", net.weight(net.rng.uniform(-1, 1, wide)), product)

    queries, keys, values = dense(x), net.op("Transpose", dense(x), perm=[0, 2, 1]), dense(x)
    scores = net.op("Softmax", net.op("MatMul", queries, keys), axis=-1)
    mixed = net.op("Add", dense(net.op("MatMul", scores, values)), x)
    hidden = net.op("Relu", dense(mixed, wide=16))
    net.op("Add", dense(hidden, narrow=16), mixed, out="y")
    net.output("y", [1, 6, 8])
    feeds = [{"x": np.random.default_rng(i).standard_normal((1, 6, 8)).astype(np.float32)} for i in range(6)]
    model = net.model()
    result = quantized(model, feeds=feeds)
    products = nodes(result, "MatMul")
    coded = [node for node in products if maker(node, 1) == "DequantizeLinear"]
    assert len(coded) == 6
    assert all(maker(node, 0) == "DequantizeLinear" for node in coded)
    assert not any("DequantizeLinear" in (maker(node, 0), maker(node, 1)) for node in products if node not in coded)
    for add in nodes(result, "Add"):  # neither a product nor its bias goes through codes on the way
        stored = [value for value in add.inputs if value.is_initializer()]
        assert "MatMul" in (maker(add, 0), maker(add, 1)) or not stored
    assert tools.worst_ratio(model, result, feeds) > 22


def test_bias_correction_works_on_biases_that_stay_float():
    model, feeds = tools.typed_net(["plain", "depthwise"]), tools.images(8)
    plain, corrected = (quantized(model, feeds=feeds, bias_correction=on, smooth=0.0) for on in (False, True))
    want = np.mean([answer["y"] for answer in tools.ort_run(model, feeds)], axis=0)
    errors = [
        float(np.abs(np.mean([answer["y"] for answer in tools.ort_run(one, feeds)], axis=0) - want).mean())
        for one in (plain, corrected)
    ]
    assert errors[1] < errors[0]


def test_a_large_bias_does_not_coarsen_the_weights_of_its_channel():
    net = tools.Net(seed=1)
    x = net.input("x", [1, 3, 8, 8])
    weight, bias = net.random(4, 3, 3, 3) * np.float32(1e-6), np.full(4, 900.0)
    net.op("Conv", x, net.weight(weight), net.weight(bias), out="y", kernel_shape=[3, 3])
    net.output("y", [1, 4, 6, 6])
    wide = replace(tools.TYPED.schemes[0], float_rest="fp32")
    result = quantized(net.model(), replace(tools.TYPED, schemes=(wide,)), tools.images(4, size=8))
    (conv,) = nodes(result, "Conv")
    scale = conv.inputs[1].producer().inputs[1].const_value.numpy()
    np.testing.assert_allclose(scale, np.abs(weight).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
