"""One digest for one computation, whatever things are called; another as soon as a number or an operator differs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.computation import computation_digest
from edgewright.compiler.graphs import working_copy
from edgewright.core.model import OnnxModel

TEXT = """
<ir_version: 10, opset_import: ["" : 20]>
net (float[N, 4] x) => (float[N, 4] y) {
  hidden = MatMul (x, w)
  clamped = Relu (hidden)
  flag = Constant <value = bool {1}> ()
  y = If (flag) <
    then_branch = yes () => (float[N, 4] a) { a = Add (clamped, b) },
    else_branch = no () => (float[N, 4] c) { c = Sub (clamped, b) }
  >
}
"""


@pytest.fixture
def model(parse: Callable[..., OnnxModel]) -> OnnxModel:
    return parse(TEXT, {"w": np.eye(4, dtype=np.float32), "b": np.ones(4, np.float32)})


def changed(model: OnnxModel, change: Callable[[ir.Model], None]) -> str:
    copy = working_copy(model)
    change(copy)
    return computation_digest(OnnxModel(copy, model.name))


def rename_everything(whole: ir.Model) -> None:
    whole.ir_version, whole.doc_string = 11, "another"
    for place, node in enumerate(whole.graph.all_nodes()):
        node.name, node.doc_string = f"other_{place}", "words"
        node.metadata_props["key"] = "value"
        for index, value in enumerate(node.outputs):
            if not value.is_graph_output():
                value.name = f"value_{place}_{index}"


def test_names_and_words_do_not_count(model: OnnxModel) -> None:
    assert changed(model, rename_everything) == computation_digest(model)


@pytest.mark.parametrize(
    "change",
    [
        lambda whole: setattr(whole.graph[1], "op_type", "Tanh"),
        lambda whole: whole.graph.initializers["w"].__setattr__(
            "const_value", ir.tensor(np.eye(4, dtype=np.float32) * 2, name="w")
        ),
        lambda whole: whole.graph[3].attributes["then_branch"].as_graph()[0].__setattr__("op_type", "Mul"),
        lambda whole: whole.graph[1].replace_input_with(0, whole.graph.inputs[0]),
        lambda whole: whole.graph.outputs[0].__setattr__("name", "z"),
        lambda whole: whole.graph.opset_imports.__setitem__("", 21),
        lambda whole: whole.graph[3].attributes["then_branch"].as_graph()[0].replace_input_with(
            0, whole.graph[0].outputs[0]
        ),
    ],
    ids=["operator", "weight", "operator in a body", "wiring", "output's name", "opset", "what a body captures"],
)  # fmt: skip
def test_what_is_computed_counts(model: OnnxModel, change: Callable[[ir.Model], None]) -> None:
    assert changed(model, change) != computation_digest(model)
