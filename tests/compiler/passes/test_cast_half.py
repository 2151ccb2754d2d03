from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.passes.cast_half import CastHalf, CastHalfOptions
from edgewright.compiler.site import Absent

RNG = np.random.default_rng(0)
HALF = 2e-3
"""float16 keeps 11 bits: a relative rounding of 5e-4 for each of a few operations."""


def _types(model) -> dict[str, str]:
    return {node.op_type: node.outputs[0].dtype.name for node in model.ir.graph if node.op_type != "Cast"}


def test_a_network_computes_in_half_and_is_fed_in_float(apply, conv_net_model, conv_net_feeds):
    outcome = apply(CastHalf(), conv_net_model, conv_net_feeds[:2], tolerance=HALF)
    assert set(_types(outcome.model).values()) == {"FLOAT16"}
    assert outcome.model.inputs == conv_net_model.inputs
    assert outcome.model.outputs == conv_net_model.outputs
    assert outcome.model.size_bytes * 2 == conv_net_model.size_bytes
    onnx.checker.check_model(ir.to_proto(outcome.model.ir), full_check=True)


def test_values_near_the_limit_keep_their_nodes_in_float(apply, parse, texts):
    model = parse(
        "g (float[N,4] x) => (float[N,4] y) { a = Relu (x) b = Mul (a, k) c = Div (b, k) y = Neg (c) }",
        {"k": np.float32(30000)},
    )
    feeds = [{"x": np.full((1, 4), 3, np.float32)}]
    outcome = apply(CastHalf(), model, feeds, tolerance=HALF)
    assert _types(outcome.model) == {"Relu": "FLOAT16", "Mul": "FLOAT", "Div": "FLOAT", "Neg": "FLOAT16"}
    assert "values near float16's limit pass through it on real samples (9e+04)" in texts(outcome)
    small = apply(CastHalf(), model, [{"x": np.full((1, 4), 0.01, np.float32)}], tolerance=HALF)
    assert _types(small.model)["Mul"] == "FLOAT16"


def test_without_samples_the_journal_says_that_nothing_was_checked(make_site, mlp_model, texts):
    site = replace(make_site(mlp_model), samples=Absent("no data was given"))
    assert "was not checked against float16's: no data was given" in texts(CastHalf()(mlp_model, site))


@pytest.mark.parametrize(("value", "reason"), [(1e5, "too large for float16"), (1e-8, "too small for float16")])
def test_constants_outside_the_range_keep_their_nodes_in_float(value, reason, apply, parse, texts):
    nodes = "b = Abs (x) a = Add (b, k) c = Sub (a, k) y = Relu (c)"
    model = parse(f"g (float[N,4] x) => (float[N,4] y) {{ {nodes} }}", {"k": np.float32(value)})
    outcome = apply(CastHalf(), model, [{"x": np.ones((1, 4), np.float32)}], tolerance=HALF)
    assert _types(outcome.model) == {"Abs": "FLOAT16", "Add": "FLOAT", "Sub": "FLOAT", "Relu": "FLOAT16"}
    assert reason in texts(outcome)


def test_bodies_keep_reading_float(apply, specimen_of):
    specimen = specimen_of("branches")
    outcome = apply(CastHalf(), specimen.model, specimen.feeds, tolerance=1e-2)
    assert outcome.changed
    body = [value.dtype for graph in outcome.model.ir.graph.subgraphs() for node in graph for value in node.outputs]
    assert ir.DataType.FLOAT16 not in body


def test_quantised_layers_keep_their_scales(apply, specimen_of, operators):
    specimen = specimen_of("quantised")
    outcome = apply(CastHalf(), specimen.model, specimen.feeds, tolerance=0.1)
    assert operators(outcome.model).count("DequantizeLinear") == operators(specimen.model).count("DequantizeLinear")


def test_a_weight_read_in_both_types_exists_twice(apply, parse):
    model = parse(
        "g (float[N,4] x) => (float[N,4] y) { a = Add (x, k) b = MatMul (a, w) y = Add (b, k) }",
        {"k": np.ones(4, np.float32), "w": np.eye(4, dtype=np.float32)},
    )
    named = model.copy()
    for node, name in zip(named.ir.graph, ("first", "product", "second"), strict=True):
        node.name = name
    feeds = [{"x": np.ones((1, 4), np.float32)}]
    outcome = apply(CastHalf(CastHalfOptions(keep_float=("first",))), named, feeds, tolerance=HALF)
    kinds = sorted(value.dtype.name for value in outcome.model.ir.graph.initializers.values())
    assert kinds == ["FLOAT", "FLOAT16", "FLOAT16"]


def test_bfloat16_raises_the_opset_for_convolutions(make_site, conv_net_model, texts):
    options = CastHalfOptions("bfloat16")
    outcome = CastHalf(options)(conv_net_model, make_site(conv_net_model, opset=(7, 24)))
    assert outcome.model.ir.graph.opset_imports[""] == 22
    assert _types(outcome.model)["Conv"] == "BFLOAT16"
    onnx.checker.check_model(ir.to_proto(outcome.model.ir), full_check=True)
    kept = CastHalf(options)(conv_net_model, make_site(conv_net_model, opset=(7, 20)))
    assert _types(kept.model)["Conv"] == "FLOAT"
    assert "Conv takes no bfloat16 at opset 20" in texts(kept)


def test_what_the_target_does_not_compute_in_a_type_stays_float(make_site, parse, texts):
    model = parse("g (float[N,4] x) => (float[N,4] y) { a = Mish (x) b = Add (a, x) y = Mish (b) }")
    site = make_site(model, opset=(7, 24))
    lacking = replace(site, target=replace(site.target, not_in={"bf16": frozenset({"::Mish"})}))
    kept = CastHalf(CastHalfOptions("bfloat16"))(model, lacking)
    assert _types(kept.model)["Mish"] == "FLOAT"
    assert _types(kept.model)["Add"] == "BFLOAT16"
    assert "the target has no Mish in bfloat16" in texts(kept)
    assert _types(CastHalf(CastHalfOptions("float16"))(model, lacking).model)["Mish"] == "FLOAT16"


def test_it_is_wanted_where_the_runtime_needs_the_types_written(make_site, mlp_model):
    target = make_site(mlp_model).target
    assert CastHalf.wanted(target, "fp16") is None
    assert "the precision is int8" in (CastHalf.wanted(target, "int8") or "")
    hinted = replace(target, hinted_precisions=frozenset({"fp16"}))
    assert "from a float32 model when told to" in (CastHalf.wanted(hinted, "fp16") or "")
    assert CastHalf.options_for(target, "bf16") == CastHalfOptions("bfloat16")
    with pytest.raises(ValueError, match="dtype: 'int4'"):
        CastHalfOptions("int4")
