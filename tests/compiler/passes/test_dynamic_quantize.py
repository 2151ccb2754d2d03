from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.passes.dynamic_quantize import DynamicOptions, DynamicQuantize
from edgewright.core.errors import UsageError

from ..quantization import conftest as q  # noqa: TID252 - tests are no package

RULE = replace(q.RULE, schemes=(q.DYNAMIC,))


def perceptron(trans: int = 0):
    """Two products that share an input, one with a bias, one layer deep behind them."""
    net = q.Net(seed=4)
    x = net.input("x", ["N", "T", 16])
    a = net.op("MatMul", x, net.weight(net.random(16, 12)))
    b = net.op("Add", net.op("MatMul", x, net.weight(net.random(16, 12))), net.weight(net.rng.uniform(-1, 1, 12)))
    flat = net.op("Reshape", net.op("Mul", a, b), net.weight([-1, 12], np.int64))
    weight = net.random(5, 12) if trans else net.random(12, 5)
    net.op("Gemm", flat, net.weight(weight), net.weight(net.rng.uniform(-1, 1, 5)), out="y", transB=trans)
    net.output("y", [None, 5])
    return net.model("perceptron")


def vectors(count: int):
    rng = np.random.default_rng(1)
    return [{"x": rng.normal(0, 1, (2, 3, 16)).astype(np.float32)} for _ in range(count)]


def blob(model) -> bytes:
    return ir.to_proto(model.ir).SerializeToString(deterministic=True)


@pytest.mark.parametrize("trans", [0, 1])
def test_products_keep_their_answers_and_share_the_codes_of_an_input(trans):
    model, feeds = perceptron(trans), vectors(8)
    outcome = DynamicQuantize()(model, q.site_of(model, feeds, RULE))
    assert outcome.changed == 3
    assert q.kinds(outcome.model).count("DynamicQuantizeLinear") == 2
    assert q.kinds(outcome.model).count("MatMulInteger") == 3
    assert not {"MatMul", "Gemm"} & set(q.kinds(outcome.model))
    # Two layers with 8-bit weights and activations: about 40 dB each.
    assert q.worst_ratio(model, outcome.model, feeds) > 32
    assert outcome.model.size_bytes < model.size_bytes / 2


def test_onnxruntime_fuses_every_product(tmp_path):
    model = perceptron()
    outcome = DynamicQuantize()(model, q.site_of(model, vectors(2), RULE))
    q.ort_session(outcome.model, tmp_path / "optimized.onnx")
    ran = [node.op_type for node in ir.load(tmp_path / "optimized.onnx").graph]
    assert not {"MatMulInteger", "Cast"} & set(ran)


def test_convolutions_where_the_scheme_wants_them():
    net = q.Net()
    x = net.input("x", [1, 3, 8, 8])
    a = net.op("Relu", net.conv(x, 3, 6, strides=[2, 2]))
    net.conv(a, 6, 6, group=6, out="y")
    net.output("y", [1, 6, 4, 4])
    model, feeds = net.model(), q.images(4, size=8)
    scheme = replace(q.DYNAMIC, op_kinds=frozenset({"Conv"}))
    outcome = DynamicQuantize()(model, q.site_of(model, feeds, replace(q.RULE, schemes=(scheme,))))
    assert outcome.changed == 2
    assert q.worst_ratio(model, outcome.model, feeds) > 32


def test_what_stays_float_says_why_and_nothing_to_do_changes_nothing():
    model = perceptron()
    site = q.site_of(model, vectors(2), RULE)
    kept = DynamicQuantize(DynamicOptions(keep_float=("Gemm_5",)))(model, site)
    assert kept.changed == 2
    assert any(note.subject == "Gemm_5" and "on request" in note.text for note in kept.notes)
    none = DynamicQuantize(DynamicOptions(keep_kinds=("Gemm", "MatMul")))(model, site)
    assert none.changed == 0
    assert none.model is model


def test_the_same_twice_is_the_same_bytes_and_the_model_stays_as_it_was():
    model = perceptron()
    before, site = blob(model), q.site_of(model, vectors(2), RULE)
    assert blob(DynamicQuantize()(model, site).model) == blob(DynamicQuantize()(model, site).model)
    assert blob(model) == before


def test_wanted_and_refused():
    assert DynamicQuantize.wanted(q.target(RULE), "int8") is None
    assert "static" in (DynamicQuantize.wanted(q.target(), "int8") or "")
    model = perceptron()
    with pytest.raises(UsageError, match="no dynamic int8 scheme"):
        DynamicQuantize()(model, q.site_of(model, vectors(1), replace(q.RULE, schemes=(q.INTEGER,))))
