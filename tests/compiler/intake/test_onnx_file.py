from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgewright.compiler.intake.onnx_file import unknown_operators
from edgewright.compiler.pass_base import Note
from edgewright.core.model import OnnxModel

from .conftest import Read

FEEDS = {"x": np.random.default_rng(1).normal(size=(2, 2, 8, 8)).astype(np.float32), "c": np.array(True)}


def answers(model: OnnxModel | onnx.ModelProto) -> list[np.ndarray]:
    proto = ir.to_proto(model.ir) if isinstance(model, OnnxModel) else model
    return list(ReferenceEvaluator(proto).run(None, FEEDS))


def assert_same_numbers(model: OnnxModel, reference: onnx.ModelProto) -> None:
    """The same operations on the same numbers in the same evaluator: equal, not close."""
    for one, other in zip(answers(model), answers(reference), strict=True):
        np.testing.assert_array_equal(one, other)


def test_constants_become_initializers_and_numbers_stay(small: onnx.ModelProto, read: Read) -> None:
    small.graph.node.insert(0, helper.make_node("Constant", [], ["two"], value_float=2.0))
    small.graph.node.append(helper.make_node("Mul", ["gemm.y", "two"], ["z"]))
    small.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3]))
    model = read(small)
    assert not [node for node in model.ir.graph if node.op_type == "Constant"]
    assert {"shape", "two", "conv.w"} <= set(model.ir.graph.initializers)
    assert_same_numbers(model, small)


def test_initializers_leave_the_inputs_of_an_ir_3_model(small: onnx.ModelProto, read: Read) -> None:
    small.ir_version = 3
    small.opset_import[0].version = 8
    for tensor in small.graph.initializer:
        small.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    model = read(small)
    assert [value.name for value in model.ir.graph.inputs] == ["x", "c"]
    assert model.ir.ir_version >= 4
    assert_same_numbers(model, small)


def test_the_other_name_of_the_standard_domain_is_the_same(small: onnx.ModelProto, read: Read) -> None:
    plain = read(small).digest
    small.opset_import[0].domain = "ai.onnx"
    for node in small.graph.node:
        node.domain = "ai.onnx"
    assert read(small).digest == plain


def test_remarks_with_paths_are_gone_and_the_models_own_metadata_stays(small: onnx.ModelProto, read: Read) -> None:
    plain = read(small).digest
    small.doc_string = small.graph.doc_string = "/home/me/model"
    for node in small.graph.node:
        node.doc_string = "/home/me/model.py"
        node.metadata_props.add(key="stack", value="/home/me/model.py")
    small.graph.input[0].doc_string = "/home/me"
    small.graph.initializer[0].doc_string = "/home/me"
    small.metadata_props.add(key="character", value="a\nb")
    model = read(small)
    written = ir.to_proto(model.ir).SerializeToString()
    assert b"/home/me" not in written
    assert model.ir.metadata_props == {"character": "a\nb"}
    del model.ir.metadata_props["character"]
    assert OnnxModel(model.ir, "x").digest == plain


def test_functions_are_written_out(small: onnx.ModelProto, read: Read) -> None:
    imports = [helper.make_opsetid("", 20)]
    body = [helper.make_node("Mul", ["a", "a"], ["b"]), helper.make_node("Neg", ["b"], ["c"])]
    small.functions.append(helper.make_function("own", "MinusSquare", ["a"], ["c"], body, imports))
    small.opset_import.add(domain="own", version=1)
    small.graph.node.append(helper.make_node("MinusSquare", ["gemm.y"], ["z"], domain="own"))
    small.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3]))
    model = read(small)
    assert not model.ir.functions
    assert "own" not in {node.domain for node in model.ir.graph}
    assert_same_numbers(model, small)


def test_nodes_out_of_order_are_sorted_and_told(small: onnx.ModelProto, read: Read) -> None:
    reference = onnx.ModelProto.FromString(small.SerializeToString())
    nodes = list(small.graph.node)[::-1]
    del small.graph.node[:]
    small.graph.node.extend(nodes)
    notes: list[Note] = []
    model = read(small, notes)
    assert any("sorted" in note.text for note in notes)
    assert_same_numbers(model, reference)


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        (
            helper.make_tensor_value_info("gemm.y", TensorProto.FLOAT, ["N", 4]),
            "declared as Nx4, the graph makes Nx3|3",
        ),
        (helper.make_tensor_value_info("gemm.y", TensorProto.INT64, ["N", 3]), "declared as INT64"),
        (helper.make_tensor_value_info("gemm.y", TensorProto.FLOAT, [3]), "declared as 3, the graph makes"),
    ],
)
def test_an_output_that_lies_is_corrected_and_told(
    declared: onnx.ValueInfoProto, words: str, small: onnx.ModelProto, read: Read
) -> None:
    small.graph.output.append(declared)
    notes: list[Note] = []
    model = read(small, notes)
    assert [note.subject for note in notes] == ["gemm.y"]
    assert any(word in notes[0].text for word in words.split("|"))
    assert model.outputs[1].dtype == "float32"
    assert model.outputs[1].shape is not None
    assert model.outputs[1].shape[1] == 3


def test_declared_sizes_that_inference_leaves_open_are_kept(small: onnx.ModelProto, read: Read) -> None:
    model = read(small)
    assert model.outputs[0].shape == ("N", 3)
    assert _notes(small, read) == []


def _notes(model: onnx.ModelProto, read: Read) -> list[Note]:
    notes: list[Note] = []
    read(model, notes)
    return notes


@pytest.mark.parametrize(
    "value",
    [np.float32(-np.inf), np.array([[0, -np.inf], [0, 0]], np.float32)],
    ids=["bound", "mask"],
)
def test_infinities_that_people_mean_pass(value: np.ndarray, small: onnx.ModelProto, read: Read) -> None:
    small.graph.initializer.append(numpy_helper.from_array(np.asarray(value), "m"))
    small.graph.node.append(helper.make_node("Max", ["m", "m"], ["masked"]))
    assert read(small).inputs


def test_denormal_and_huge_weights_and_an_all_zero_channel_pass(small: onnx.ModelProto, read: Read) -> None:
    array = np.zeros((4, 2, 3, 3), np.float32)
    array[1], array[2] = 1e-42, 1e38
    small.graph.initializer[0].CopyFrom(numpy_helper.from_array(array, "conv.w"))
    assert read(small).parameters


def test_sizes_that_inference_names_are_no_symbols(small: onnx.ModelProto, read: Read) -> None:
    """Engines reuse memory among tensors whose symbols are equal: an invented name must not meet the file's own."""
    small.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "unk__0"
    model = read(small)
    flat = next(value for node in model.ir.graph for value in node.outputs if value.name == "flat")
    assert flat.shape is not None
    assert flat.shape[0] == ir.SymbolicDim(None)
    assert model.outputs[0].shape == ("unk__0", 3)


def test_external_data_of_a_function_is_found(small: onnx.ModelProto, read: Read, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(np.full(3, 2, np.float32).tobytes())
    two = onnx.TensorProto(dims=[3], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    two.external_data.add(key="location", value="data")
    body = [helper.make_node("Constant", [], ["k"], value=two), helper.make_node("Mul", ["a", "k"], ["b"])]
    function = helper.make_function("own", "Double", ["a"], ["b"], body, [helper.make_opsetid("", 20)])
    small.functions.append(function)
    small.opset_import.add(domain="own", version=1)
    small.graph.node.append(helper.make_node("Double", ["gemm.y"], ["z"], domain="own"))
    small.graph.output.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, ["N", 3]))
    model = read(small)
    weights = [value.const_value for value in model.ir.graph.initializers.values() if value.shape == ir.Shape([3])]
    assert any(item is not None and item.numpy().tolist() == [2, 2, 2] for item in weights)


def test_external_data_stays_outside_and_is_read_lazily(small: onnx.ModelProto, read: Read, tmp_path: Path) -> None:
    tensor = small.graph.initializer[0]
    data = tensor.raw_data
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "w.bin").write_bytes(b"pad!" + data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights/w.bin"), ("offset", "4"), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)
    model = read(small)
    weight = model.ir.graph.initializers["conv.w"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    assert weight.tobytes() == data


@pytest.mark.full
def test_external_data_beyond_2_gib_is_read_without_loading_it(
    small: onnx.ModelProto, read: Read, tmp_path: Path
) -> None:
    rows = 1 << 20
    with (tmp_path / "big").open("wb") as file:
        file.truncate(rows * 600 * 4)
    tensor = small.graph.initializer.add(name="big", data_type=TensorProto.FLOAT, dims=[rows, 600])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="big")
    small.graph.node.append(helper.make_node("Gather", ["big", "row"], ["found"]))
    small.graph.initializer.append(numpy_helper.from_array(np.array([3]), "row"))
    model = read(small)
    assert model.size_bytes > 1 << 31
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    assert resident < 1 << 30


def test_unknown_operators_by_domain(small: onnx.ModelProto, read: Read) -> None:
    small.opset_import.add(domain="com.microsoft", version=1)
    small.opset_import.add(domain="my.own", version=1)
    small.graph.node.append(helper.make_node("Gelu", ["gemm.y"], ["g"], domain="com.microsoft"))
    small.graph.node.append(helper.make_node("Foo", ["gemm.y"], ["f"], domain="my.own"))
    model = read(small)
    assert unknown_operators(model, {"com.microsoft"}) == ["my.own::Foo"]
    assert unknown_operators(model, ()) == ["com.microsoft::Gelu", "my.own::Foo"]


def test_nodes_that_share_a_name_are_told_apart(small: onnx.ModelProto, read: Read) -> None:
    for node in small.graph.node:
        node.name = "node"
    small.graph.node[-1].name = "node_1"
    names = [node.name for node in read(small).ir.graph]
    assert names[0] == "node"
    assert names[-1] == "node_1", "a name that was its own stays"
    assert len(set(names)) == len(names) > 2


def test_an_stft_is_one_sided_unless_it_says_otherwise(read: Read) -> None:
    nodes = [
        helper.make_node("STFT", ["x", "hop", "", "length"], ["s"]),
        helper.make_node("ReduceSumSquare", ["s"], ["p"], axes=[3], keepdims=0),
        helper.make_node("MatMul", ["p", "bands"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "spectrum",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, None, 4])],
        [
            numpy_helper.from_array(np.array(8), "hop"),
            numpy_helper.from_array(np.array(16), "length"),
            numpy_helper.from_array(np.ones((9, 4), np.float32), "bands"),
        ],
    )
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert list(model.ir.graph.outputs[0].shape or ()) == [1, 7, 4]
