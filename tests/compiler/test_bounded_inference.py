from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.bounded_inference import infer_shapes


def test_an_stft_without_the_attribute_is_one_sided() -> None:
    weights = [
        numpy_helper.from_array(np.array(8, np.int64), "step"),
        numpy_helper.from_array(np.ones(16, np.float32), "window"),
    ]
    graph = helper.make_graph(
        [helper.make_node("STFT", ["x", "step", "window"], ["y"])],
        "stft",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        weights,
    )
    inferred = infer_shapes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    shape = [dim.dim_value for dim in inferred.graph.output[0].type.tensor_type.shape.dim]
    assert shape == [1, 7, 9, 2], "16 / 2 + 1 frequencies"
