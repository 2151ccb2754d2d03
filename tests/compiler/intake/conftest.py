"""A small valid model to break, and the reading of what was broken."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.pass_base import Note
from edgewright.core.model import OnnxModel

Change = Callable[[onnx.ModelProto], None]


class Read(Protocol):
    """Writes a model to ``model.onnx`` in this test's folder and reads it."""

    def __call__(
        self, model: onnx.ModelProto, notes: list[Note] | None = None, *, allow_nonfinite: bool = False
    ) -> OnnxModel: ...


def small_model() -> onnx.ModelProto:
    """``x (N, 2, 8, 8)`` -> Conv, Reshape, Gemm, If -> ``y (N, 3)``, with a shape in a Constant node."""
    rng = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    def branch(op: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(f"{op}.out", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["gemm.y"], [f"{op}.out"], f"{op}.node")], op, [], [out])

    shape = numpy_helper.from_array(np.array([-1, 144], np.int64))
    nodes = [
        helper.make_node("Constant", [], ["shape"], "shape.const", value=shape),
        helper.make_node("Conv", ["x", "conv.w"], ["conv.y"], "conv", kernel_shape=[3, 3]),
        helper.make_node("Reshape", ["conv.y", "shape"], ["flat"], "reshape"),
        helper.make_node("Gemm", ["flat", "gemm.w", "gemm.b"], ["gemm.y"], "gemm"),
        helper.make_node("If", ["c"], ["y"], "if", then_branch=branch("Relu"), else_branch=branch("Tanh")),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2, 8, 8]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
        [weight("conv.w", 4, 2, 3, 3), weight("gemm.w", 144, 3), weight("gemm.b", 3)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.fixture
def small() -> onnx.ModelProto:
    return small_model()


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_it(model: onnx.ModelProto, notes: list[Note] | None = None, *, allow_nonfinite: bool = False) -> OnnxModel:
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        return read_onnx(path, notes=notes, allow_nonfinite=allow_nonfinite)

    return read_it
