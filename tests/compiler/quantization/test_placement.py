from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.quantization.placement import place
from edgewright.compiler.quantization.prepare import prepare

NONE = frozenset()


def placed(q, model, scheme=None, keep=NONE, kinds=NONE):
    prepared = prepare(model)
    placement = place(prepared.ir.graph, scheme or q.INTEGER, frozenset(keep), frozenset(kinds))
    return placement, {op.node.name for op in placement.ops}


def names(values):
    return {value.name for value in values}


def test_a_residual_net_is_integer_from_end_to_end(q):
    placement, ops = placed(q, q.residual_net())
    mean = {"ReduceMean_10", "ReduceMean_10_flatten"}  # now a GlobalAveragePool and a Flatten
    assert ops == {"Conv_0", "Conv_2", "Conv_4", "Add_5", "Conv_7", "MaxPool_9", "Gemm_11"} | mean
    assert names(placement.produced) == {
        "Relu_1_out",
        "Relu_3_out",
        "Conv_4_out",
        "Relu_6_out",
        "Relu_8_out",
        "MaxPool_9_out",
        "ReduceMean_10_out_pooled",
        "ReduceMean_10_out",
    }
    # The Gemm's integer kernel gives float results.
    assert "y" not in names(placement.grids)


def test_a_mover_shares_the_grid_of_what_it_moves(q):
    placement, _ = placed(q, q.residual_net())
    owner = {value.name: group.name for value, group in placement.grids.items()}
    assert owner["MaxPool_9_out"] == owner["Relu_8_out"]
    group = next(group for value, group in placement.grids.items() if value.name == "MaxPool_9_out")
    assert names(placement.sources(group)) == {"Relu_8_out"}


def test_without_outputs_only_what_is_read_becomes_codes(q):
    placement, _ = placed(q, q.residual_net(), q.INPUTS)
    assert not placement.produced
    assert names(placement.carried) == {"MaxPool_9_out", "ReduceMean_10_out"}  # the latter is now a Flatten's
    assert names(placement.grids) >= {"x", "Relu_1_out", "Relu_3_out", "ReduceMean_10_out"}
    assert "y" not in names(placement.grids)


def test_kept_layers_and_kinds_stay_float_and_say_so(q):
    placement, ops = placed(q, q.residual_net(), keep={"Conv_2"}, kinds={"Gemm"})
    assert "Conv_2" not in ops
    assert "Gemm_11" not in ops
    assert placement.refused["Conv_2"] == "left in float on request"
    assert placement.refused["Gemm_11"] == "Gemm is left in float on request"


def test_followers_do_not_join_for_float_readers(q):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    a = net.conv(x, 3, 4)
    swish = net.op("Mul", a, net.op("Sigmoid", a))
    b = net.conv(swish, 4, 4)
    net.op("Mul", b, net.op("Sigmoid", b), out="y")  # nothing reads these codes
    net.output("y", [1, 4, 8, 8])
    placement, ops = placed(q, net.model())
    assert ops == {"Conv_0", "Sigmoid_1", "Mul_2", "Conv_3"}
    assert placement.refused["Mul_5"] == "no quantised operator reads what it makes"
    assert placement.refused["Sigmoid_4"] == "no quantised operator reads what it makes"


def test_a_clamp_that_others_see_through_is_not_folded(q):
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    a = net.conv(x, 3, 4)
    net.op("Relu", a, out="r")
    net.op("Neg", a, out="n")
    net.output("r", [1, 4, 8, 8])
    net.output("n", [1, 4, 8, 8])
    placement, _ = placed(q, net.model())
    assert placement.ops[0].clamp is None
    assert placement.ops[0].output.name == a


@pytest.mark.parametrize("fill", [-np.inf, -3.4e38])
def test_masks_and_attention_stay_float(q, fill):
    net = q.Net()
    x = net.input("x", [1, 6, 8])
    queries = net.op("MatMul", x, net.weight(net.random(8, 8)))
    keys = net.op("Transpose", net.op("MatMul", x, net.weight(net.random(8, 8))), perm=[0, 2, 1])
    scores = net.op("MatMul", queries, keys)
    masked = net.op("Add", scores, net.weight(np.full((1, 1, 6), fill)))
    net.op("MatMul", net.op("Softmax", masked), x, out="y")
    net.output("y", [1, 6, 8])
    placement, ops = placed(q, net.model())
    assert ops == {"MatMul_0", "MatMul_1"}
    assert placement.refused["MatMul_3"] == "its weight is computed, not constant"
    assert "Softmax_5_out" not in names(placement.grids)


def test_integers_and_bodies_of_control_flow_are_left_alone(q):
    from onnx import TensorProto, helper

    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    flag = net.input("flag", [], TensorProto.BOOL)
    a = net.conv(x, 3, 4)

    def body(kind):
        out = helper.make_tensor_value_info(kind, TensorProto.FLOAT, [1, 4, 8, 8])
        return helper.make_graph([helper.make_node(kind, [a], [kind], name=kind)], kind, [], [out])

    net.op("If", flag, out="y", then_branch=body("Relu"), else_branch=body("Neg"))
    net.output("y", [1, 4, 8, 8])
    placement, ops = placed(q, net.model())
    assert ops == {"Conv_0"}
    assert placement.ops[0].clamp is None  # the Relu is the branch's
    shape = net.op("Concat", net.op("Shape", x), net.weight([1], np.int64), axis=0)
    net.op("Reshape", x, shape, out="z")
    assert "Concat" not in str(placed(q, net.model())[0].refused)


def test_scaled_or_computed_products_are_refused_with_their_reason(q):
    net = q.Net()
    x = net.input("x", [4, 8])
    a = net.op("Gemm", x, net.weight(net.random(8, 8)), alpha=0.5)
    b = net.op("MatMul", a, net.op("Neg", net.weight(net.random(8, 8))))
    net.op("Gemm", b, net.weight(net.random(8, 8)), net.weight(net.random(4, 8)), out="y")
    net.output("y", [4, 8])
    placement, ops = placed(q, net.model())
    assert not ops
    assert sorted(placement.refused.values()) == [
        "it scales its operands (alpha, beta)",
        "its bias is not one number per column",
        "its weight is computed, not constant",
    ]


@pytest.mark.parametrize("shape", [(1, 5), (1,), (1, 1), ()])
@pytest.mark.parametrize("turned", [0, 1])
def test_a_bias_of_one_row_or_one_number_keeps_no_gemm_in_float(q, shape, turned):
    rng = np.random.default_rng(3)
    net = q.Net()
    x = net.input("x", [2, 8])
    weight = rng.standard_normal((5, 8) if turned else (8, 5))
    bias = net.weight(rng.standard_normal(shape))
    net.op("Gemm", x, net.weight(weight), bias, out="y", transB=turned)
    net.op("Gemm", x, net.weight(rng.standard_normal((8, 7))), net.weight(0.5), out="z")  # the same number, 7 columns
    net.output("y", [2, 5])
    net.output("z", [2, 7])
    model = net.model()
    _, ops = placed(q, model)
    assert ops == {"Gemm_0", "Gemm_1"}
    feeds = [{"x": rng.standard_normal((2, 8)).astype(np.float32)} for _ in range(3)]
    (before, after) = ([*q.ort_run(each, feeds)] for each in (model, prepare(model)))
    for old, new in zip(before, after, strict=True):
        for name in ("y", "z"):
            np.testing.assert_array_equal(old[name], new[name])
