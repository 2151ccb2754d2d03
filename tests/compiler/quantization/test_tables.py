from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from onnx import TensorProto

from edgewright.compiler.passes.static_quantize import StaticQuantize
from edgewright.compiler.precisions import typed_precisions
from edgewright.compiler.quantization.planning import StaticOptions

from . import conftest as tools


def embedding_net(rows=400, read_elsewhere=False):
    net = tools.Net(seed=4)
    ids = net.input("ids", [1, 6], TensorProto.INT64)
    # Rows of unlike size: one scale for all would leave little of the small ones.
    table = net.weight(net.rng.normal(0, 1, (rows, 64)) * np.geomspace(1e-3, 1, rows)[:, None])
    words = net.op("Gather", table, ids)
    if read_elsewhere:
        words = net.op("Add", words, net.op("ReduceMean", table, axes=[0], keepdims=0))
    net.op("MatMul", words, net.weight(net.random(64, 8)), out="y")
    net.output("y", [1, 6, 8])
    return net.model(), [{"ids": np.arange(i, rows, rows // 6)[:6][None]} for i in range(6)]


def quantized(model, feeds, gather=True, **options):
    scheme = replace(tools.TYPED.schemes[0], float_rest="fp32")
    kinds = scheme.op_kinds | ({"Gather"} if gather else set())
    rule = replace(tools.TYPED, schemes=(replace(scheme, op_kinds=kinds),))
    return StaticQuantize(StaticOptions(**options))(model, tools.site_of(model, feeds, rule))


def test_a_table_becomes_codes_with_a_scale_for_each_row():
    model, feeds = embedding_net()
    outcome = quantized(model, feeds)
    (gather,) = [node for node in outcome.model.ir.graph if node.op_type == "Gather"]
    dequantize = gather.inputs[0].producer()
    assert dequantize.inputs[0].dtype == ir.DataType.INT8
    assert dequantize.inputs[1].shape == (400,)
    assert "tables stored as codes with a scale for each row: 1" in [note.text for note in outcome.notes]
    assert typed_precisions(outcome.model).weight_ratio < 0.3
    # Rows are within half a step of 1/127 of their own largest value: 40 dB and more for each.
    table = model.ir.graph.initializers["w0"].const_value.numpy()
    codes = dequantize.inputs[0].const_value.numpy().astype(np.float64)
    reals = codes * dequantize.inputs[1].const_value.numpy()[:, None]
    assert np.all(np.abs(reals - table) <= np.abs(table).max(axis=1, keepdims=True) / 253)
    assert tools.worst_ratio(model, outcome.model, feeds) > 22


@pytest.mark.parametrize("case", ["small", "read_elsewhere", "kept", "unnamed"])
def test_other_tables_stay_as_they_are(case):
    model, feeds = embedding_net(rows=200 if case == "small" else 400, read_elsewhere=case == "read_elsewhere")
    keep = ("Gather_0",) if case == "kept" else ()
    outcome = quantized(model, feeds, gather=case != "unnamed", keep_float=keep)
    (gather,) = [node for node in outcome.model.ir.graph if node.op_type == "Gather"]
    assert gather.inputs[0].is_initializer()
    assert not any("Gather" in note.text for note in outcome.notes)
