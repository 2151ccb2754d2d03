from __future__ import annotations

import resource

import onnx
import pytest

from edgewright.compiler.bounded_inference import infer_shapes

HUGE = """<ir_version: 8, opset_import: ["" : 17]> g (float[1] x) => (float[1] y)
    <int64[1] n = {1099511627776}, int64[1] zero = {0}, int64[1] one = {1}> {
    big = ConstantOfShape (n) s = Slice (big, zero, one) y = Add (x, s) }"""


def test_the_limit_is_lifted_again_and_the_rest_is_still_inferred():
    before = resource.getrlimit(resource.RLIMIT_AS)
    found = infer_shapes(onnx.parser.parse_model(HUGE))
    assert resource.getrlimit(resource.RLIMIT_AS) == before
    sizes = {
        value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim] for value in found.graph.value_info
    }
    assert sizes["big"] == [1 << 40]


def test_what_does_not_fit_is_an_error_when_strict():
    model = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[2,3] x, float[2,3] z) => (float[2,2] y) { y = MatMul (x, z) }"""
    )
    with pytest.raises(onnx.shape_inference.InferenceError):
        infer_shapes(model, strict=True)
