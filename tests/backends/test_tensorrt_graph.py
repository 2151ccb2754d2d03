"""Where in a model TensorRT's words belong, and what of it TensorRT must be told."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper

from edgewright.backends import Unsupported
from edgewright.backends._tensorrt_graph import control_flow, place, profile_shapes, untyped
from edgewright.backends._tensorrt_layers import quantised_products
from edgewright.core.errors import UnavailableError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import SizeRange

BRANCHES = """net (bool c, float[3] x) => (float[3] y) {
    a = Relu (x)
    y = If (c) <
        then_branch = then () => (float[3] t) { t = Exp (a) },
        else_branch = else () => (float[3] e) { e = Neg (a) }
    >
}"""


def parsed(body: str, *tensors: onnx.TensorProto) -> OnnxModel:
    proto = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 19]>\n{body}')
    proto.graph.initializer.extend(tensors)
    return OnnxModel(ir.from_proto(proto), "net")


def test_a_refused_node_is_found_by_name_in_a_branch_too_or_by_its_place() -> None:
    model = parsed(BRANCHES)
    names = {node.op_type: node for node in ir.traversal.RecursiveGraphIterator(model.ir.graph)}
    names["Exp"].name = "within"
    names["Relu"].name = None
    rows = [["Exp", "within", 0, "r1"], ["Relu", "", 0, "r2"], ["Neg", "", 0, "r3"], ["", "", -1, "r4"]]
    assert place(rows, model) == [
        Unsupported("::Exp (opset 19)", "within", "r1"),
        Unsupported("::Relu (opset 19)", "-> a", "r2"),
        Unsupported("Neg", "", "r3"),  # the first of the graph is no Neg: its place is one of a subgraph
        Unsupported("model", "", "r4"),
    ]


def test_a_failure_about_scopes_names_what_makes_them() -> None:
    model = parsed(BRANCHES)
    model.ir.graph[1].name = "choose"
    assert control_flow("Assertion tScope failed", model) == " (scopes are made by ::If (opset 19) 'choose')"
    assert control_flow("no kernel for Conv", model) == ""
    assert control_flow("Assertion tScope failed", parsed("net (float[3] x) => (float[3] y) { y = Relu (x) }")) == ""


def test_every_open_input_is_in_the_profile_or_in_the_message() -> None:
    model = parsed("net (float[N,3] x, float[2,3] k, float[N,M] z) => (float[N,3] y) { y = Relu (x) }")
    with pytest.raises(UsageError, match=r"--shape x=1\.\.8,3 --shape z=1\.\.8,1\.\.8$"):
        profile_shapes(model)
    ranges = {"x": (SizeRange(1, 2, 8), SizeRange(3, 3, 3)), "z": (SizeRange(1, 2, 8), SizeRange(4, 5, 6))}
    with pytest.raises(UsageError, match=r"sizes of 'z' \(NxM\) are open"):
        profile_shapes(OnnxModel(model.ir, "net", {"x": ranges["x"]}))
    assert profile_shapes(OnnxModel(model.ir, "net", ranges)) == {
        "x": [[1, 3], [2, 3], [8, 3]],
        "z": [[1, 4], [2, 5], [8, 6]],
    }
    model.ir.graph.inputs[0].shape = None
    with pytest.raises(UnavailableError, match="input 'x' has no fixed number of dimensions"):
        profile_shapes(OnnxModel(model.ir, "net", ranges))


def test_types_of_inputs_that_numpy_lacks_are_taken() -> None:
    model = parsed("net (bfloat16[3] x, uint16[3] u) => (bfloat16[3] y) { y = Relu (x) }")
    assert [(fault.op, fault.node) for fault in untyped(model)] == [("element type uint16", "u")]


def test_what_is_written_in_eight_bits_is_told_by_kind() -> None:
    """Both operands must be codes: weights alone are not computed with, and int32 codes have more bits."""
    body = """net (float[4,4] x) => (float[4,4] y) {
        q = QuantizeLinear (x, s, z)
        d = DequantizeLinear (q, s, z)
        t = Transpose (d)
        both = MatMul (t, w)
        alone = MatMul (x, w)
        f = MatMul (fd, fd)
        wide = MatMul (d, id)
        w = DequantizeLinear (wq, s)
        fd = DequantizeLinear (fq, s)
        id = DequantizeLinear (iq, s)
        y = Sum (both, alone, f, wide)
    }"""
    kinds = onnx.TensorProto
    arrays = {
        "s": (kinds.FLOAT, np.array(0.1, np.float32)),
        "z": (kinds.INT8, np.array(0, np.int8)),
        "wq": (kinds.INT8, np.ones((4, 4), np.int8)),
        "fq": (kinds.FLOAT8E4M3FN, np.ones((4, 4), ml_dtypes.float8_e4m3fn)),
        "iq": (kinds.INT32, np.ones((4, 4), np.int32)),
    }
    tensors = [helper.make_tensor(n, kind, a.shape, a.tobytes(), raw=True) for n, (kind, a) in arrays.items()]
    model = parsed(body, *tensors)
    for node in model.ir.graph:
        node.name = node.outputs[0].name
    assert quantised_products(model.ir.graph) == {"both": "int8", "f": "fp8"}
