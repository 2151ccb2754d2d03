"""Which files beside a model hold its weights, wherever in it a tensor stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.intake.beside import files_beside


def outside(name: str, file: str) -> TensorProto:
    tensor = numpy_helper.from_array(np.zeros(4, np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=file)
    return tensor


def model_with(*tensors: TensorProto, nodes: tuple[onnx.NodeProto, ...] = ()) -> onnx.ModelProto:
    out = [helper.make_tensor_value_info("y", 1, [4])]
    return helper.make_model(helper.make_graph([*nodes], "g", [], out, [*tensors]))


def test_initializers_attributes_and_branches(tmp_path: Path) -> None:
    constant = helper.make_node("Constant", [], ["c"], value=outside("", "constant.bin"))
    branch = helper.make_graph([], "b", [], [helper.make_tensor_value_info("z", 1, [4])], [outside("z", "in/b.bin")])
    nodes = (constant, helper.make_node("If", ["t"], ["y"], then_branch=branch, else_branch=branch))
    path = tmp_path / "net.onnx"
    path.write_bytes(model_with(outside("w", "w.bin"), outside("v", "w.bin"), nodes=nodes).SerializeToString())
    assert files_beside(path) == ["constant.bin", "in/b.bin", "w.bin"]


def test_a_model_with_all_of_its_weights(mlp_path: Path) -> None:
    assert files_beside(mlp_path) == []


def test_the_word_alone_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(model_with(numpy_helper.from_array(np.zeros(4, np.float32), "location")).SerializeToString())
    assert files_beside(path) == []


def test_what_is_no_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(b"location")
    assert files_beside(path) == []
