from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from edgewright.compiler.passes.finish import Finish
from edgewright.core.model import OnnxModel

X = [{"x": np.array([[1, -2]], np.float32)}]


def _read(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(text)


def _bare(body="a = Relu (x) y = Neg (a)", header='ir_version: 8, opset_import: ["" : 17]') -> onnx.ModelProto:
    return _read(f"<{header}> g (float[1,2] x) => (float[1,2] y) {{ {body} }}")


def _finish(apply, proto: onnx.ModelProto, opset=(7, 21)):
    outcome = apply(Finish(), OnnxModel(ir.from_proto(proto), "g"), X, opset=opset)
    onnx.checker.check_model(ir.to_proto(outcome.model.ir), full_check=True)
    return outcome


def test_traces_and_paths_go_and_the_models_own_metadata_stays(apply):
    proto = _bare()
    proto.doc_string = proto.graph.doc_string = "/data/somebody/train.py"
    proto.graph.node[0].doc_string = "secret"
    proto.graph.input[0].doc_string = "secret"
    for holder in (proto.graph.node[0], proto.graph):
        holder.metadata_props.add(key="pkg.torch.onnx.stack_trace", value='File "/data/somebody/secret.py"')
    proto.metadata_props.add(key="classes", value="cat,dog")
    proto.metadata_props.add(key="trace", value='Traceback: File "/data/somebody/secret.py"')
    data = ir.to_proto(_finish(apply, proto).model.ir).SerializeToString()
    assert b"secret" not in data
    assert b"somebody" not in data
    assert b"cat,dog" in data


def test_nodes_without_names_and_with_shared_ones_get_their_own(make_site):
    proto = _bare("a = Relu (x) b = Relu (a) y = Neg (b)")
    proto.graph.node[0].name = proto.graph.node[1].name = "same"  # onnxruntime refuses this
    model = OnnxModel(ir.from_proto(proto), "g")
    names = [node.name for node in Finish()(model, make_site(model)).model.ir.graph]
    assert names == ["same", "same_1", "Neg"]


def test_bodies_get_names_of_their_own(apply, specimen_of):
    proto = _read(
        """<ir_version: 8, opset_import: ["" : 17]> g (float[1,2] x) => (float[1,2] y) {
            c = Constant <value = bool {1}> ()
            y = If (c) <then_branch = t () => (float[1,2] o) { i = Relu (x) o = Neg (i) },
                        else_branch = e () => (float[1,2] o) { i = Abs (x) o = Neg (i) }> }"""
    )
    model = _finish(apply, proto).model
    names = [value.name for node in model.ir.graph.all_nodes() for value in node.outputs]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("header", "version"),
    [
        ('ir_version: 3, opset_import: ["" : 8]', 8),
        ('ir_version: 13, opset_import: ["" : 17]', 8),
        ('ir_version: 13, opset_import: ["" : 20]', 9),
        ('ir_version: 12, opset_import: ["" : 21]', 10),
    ],
)
def test_the_ir_version_is_the_lowest_that_fits(header, version, apply):
    assert _finish(apply, _bare(header=header)).model.ir.ir_version == version


def test_four_bit_weights_need_a_younger_ir(parse, make_site):
    model = parse("g (float[2] x) => (float[2] y) { y = Relu (x) }")
    copy = model.copy()
    tensor = ir.tensor(np.array([1, -2], dtype=ir.DataType.INT4.numpy()), dtype=ir.DataType.INT4, name="w")
    value = ir.Value(name="w", type=ir.TensorType(ir.DataType.INT4), shape=ir.Shape([2]), const_value=tensor)
    copy.ir.graph.register_initializer(value)
    assert Finish()(copy, make_site(copy)).model.ir.ir_version == 10


def test_unused_imports_go(apply):
    proto = _bare(header='ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 2, "mine" : 1]')
    outcome = _finish(apply, proto)
    assert outcome.model.ir.graph.opset_imports == {"": 17}


@pytest.mark.parametrize(
    ("opset", "takes", "result", "text"),
    [
        (8, (13, 21), 13, "raised the opset from 8 to 13"),
        (20, (7, 17), 17, "stamped opset 17 instead of 20"),
        (17, (7, 21), 17, ""),
    ],
)
def test_the_opset_is_kept_within_the_targets(opset, takes, result, text, apply, texts):
    outcome = _finish(apply, _bare(header=f'ir_version: 8, opset_import: ["" : {opset}]'), takes)
    assert outcome.model.ir.graph.opset_imports[""] == result
    assert text in texts(outcome)


def test_an_operator_that_is_too_new_is_named(apply, texts):
    outcome = _finish(apply, _bare("a = Gelu (x) y = Neg (a)", 'ir_version: 9, opset_import: ["" : 20]'), (7, 17))
    assert outcome.model.ir.graph.opset_imports[""] == 20
    assert "these changed since: Gelu" in texts(outcome)
