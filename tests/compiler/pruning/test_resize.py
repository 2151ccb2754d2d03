"""A form made by exchanging weights must be the one an export gives, or none at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from torch import nn

from edgewright.compiler.intake.torch_export import export
from edgewright.compiler.pruning.latency_table import tensors_of
from edgewright.compiler.pruning.resize import resized
from edgewright.compiler.pruning.structure import cut, find_structure
from edgewright.core.model import OnnxModel, TorchModel
from edgewright.core.tensors import Array

from . import sequences
from .nets import NETS

assert sequences  # it adds its nets to the others


TORCHS_OWN = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*:FutureWarning", "ignore:The tensor attributes .*_flat_weights:UserWarning"
)
"""torch's exporter calls what torch itself deprecates, and wonders at torch's own LSTM."""


def exported(module: nn.Module, inputs: tuple[object, ...], folder: Path) -> OnnxModel:
    export(TorchModel(module, inputs, "net"), folder / "m.onnx", answers=False)  # type: ignore[arg-type]
    return OnnxModel(ir.load(folder / "m.onnx"), "net")


def sizes(model: OnnxModel) -> list[tuple[int, ...]]:
    values = model.ir.graph.initializers.values()
    return sorted(tuple(one.const_value.shape.numpy()) for one in values if one.const_value is not None)


def run(model: OnnxModel, inputs: tuple[Array, ...]) -> Array:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(ir.to_proto(model.ir).SerializeToString(), options)
    feeds = {one.name: value for one, value in zip(session.get_inputs(), inputs, strict=True)}
    return np.asarray(session.run(None, feeds)[0])


@TORCHS_OWN
@pytest.mark.parametrize("name", ["Depthwise", "Bert"])
def test_it_has_the_sizes_of_an_export_and_runs(name: str, tmp_path: Path) -> None:
    """Depthwise: norms folded into biases that the module does not have. Bert: weights turned, under other names."""
    module, inputs = NETS[name]()
    structure = find_structure(module, inputs)
    template = exported(module, inputs, tmp_path)
    # Halves of everything but heads, whose number is written into the graph.
    removed = {group.name: range(group.units // 2) for group in structure.groups if "attention" not in group.name}
    smaller = cut(module, inputs, removed, structure=structure)
    digest = template.digest
    made = resized(template, tensors_of(module), tensors_of(smaller))
    assert made is not None
    assert sizes(made) == sizes(exported(smaller, inputs, tmp_path)) != sizes(template)
    arrays = tuple(value.numpy() for value in inputs)
    assert run(made, arrays).shape == run(template, arrays).shape
    assert OnnxModel(template.ir, "net").digest == digest


def graph(nodes: list[onnx.NodeProto], weights: dict[str, Array]) -> OnnxModel:
    made = onnx.helper.make_graph(
        nodes,
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 2])],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    opset = onnx.helper.make_opsetid("", 20)
    return OnnxModel(ir.from_proto(onnx.helper.make_model(made, opset_imports=[opset], ir_version=10)), "g")


def dense(*between: onnx.NodeProto, **more: Array) -> OnnxModel:
    """Two matrix products, ``h`` to ``k`` between them."""
    weights = {"a": np.ones((4, 6), np.float32), "b": np.ones((6, 2), np.float32), **more}
    first = onnx.helper.make_node("MatMul", ["x", "a"], ["h"])
    return graph([first, *between, onnx.helper.make_node("MatMul", ["k", "b"], ["y"])], weights)


BEFORE = {"a": np.ones((4, 6), np.float32), "b": np.ones((6, 2), np.float32)}
AFTER = {"a": np.ones((4, 3), np.float32), "b": np.ones((3, 2), np.float32)}


def test_plain_products_are_exchanged() -> None:
    made = resized(dense(onnx.helper.make_node("Relu", ["h"], ["k"])), BEFORE, AFTER)
    assert made is not None
    assert sizes(made) == [(3, 2), (4, 3)]


@pytest.mark.parametrize(
    ("node", "constant"),
    [
        (onnx.helper.make_node("Reshape", ["h", "c"], ["k"]), np.array([-1, 6])),
        (onnx.helper.make_node("Reshape", ["h", "c"], ["k"]), np.array([0, 2, 3])),
        (onnx.helper.make_node("Add", ["h", "c"], ["k"]), np.ones(6, np.float32)),
    ],
    ids=["a size", "a product of sizes", "a folded constant"],
)
def test_a_width_that_is_written_into_the_graph_stands_in_the_way(node: onnx.NodeProto, constant: Array) -> None:
    assert resized(dense(node, c=constant), BEFORE, AFTER) is None


def test_a_weight_that_is_not_found_stands_in_the_way() -> None:
    template = dense(onnx.helper.make_node("Relu", ["h"], ["k"]))
    assert resized(template, {**BEFORE, "z": np.ones((2, 2))}, {**AFTER, "z": np.ones((1, 2))}) is None
    assert resized(template, BEFORE, {**AFTER, "new": np.ones((1, 2))}) is None
