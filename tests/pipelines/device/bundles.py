"""Bundles of small graphs for this machine's ONNX Runtime, written without the compiler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

    from edgewright.core.tensors import Feeds

FLOAT, INT64 = 1, 7  # TensorProto.DataType


def write_graph_bundle(graph: onnx.GraphProto, feeds: Feeds, out: Path, **changes: object) -> Path:
    """A bundle of ``graph`` with the answers to ``feeds`` as golden samples; ``changes`` are made to its manifest."""
    import onnxruntime
    from onnx import helper

    from edgewright.core import bundle
    from edgewright.targets.load import load_targets

    file = out.with_suffix(".onnx")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    file.write_bytes(model.SerializeToString(deterministic=True))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_outputs()]
    answers = dict(zip(names, session.run(names, dict(feeds)), strict=True))
    target = next(one for one in load_targets("native") if one.runtime == "onnxruntime")
    manifest = {
        "model": {"name": graph.name, "digest": "0" * 64},
        "target": {"name": target.name, "description": target.to_json()},
        "backend": {
            "name": "onnxruntime",
            "versions": {"onnxruntime": onnxruntime.__version__},
            "entry": "model.onnx",
            "properties": {},
        },
        "precision": "fp32",
        "inputs": [_spec(value) for value in graph.input],
        "outputs": [_spec(value) for value in graph.output],
        "passes": [],
        "accuracy": None,
        "limits": {"max_drop": None, "drop_met": None, "max_bytes": None, "bytes_met": None},
        "size_bytes": file.stat().st_size,
        "recipe_digest": "1" * 64,
        "plan_digest": "2" * 64,
        "tolerances": {"engine": 1e-3, "original": 1e-3},
        **changes,
    }
    golden = bundle.Golden([feeds], [answers], [answers])
    bundle.write_bundle(out, manifest, {}, {"model.onnx": file}, golden)
    return out


def _spec(value: onnx.ValueInfoProto) -> dict[str, object]:
    import onnx

    kind = value.type.tensor_type
    shape = [dim.dim_param or (dim.dim_value if dim.HasField("dim_value") else None) for dim in kind.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name
    return {"name": value.name, "dtype": dtype, "shape": shape}


def ratio_bundle(out: Path) -> Path:
    """``a, b (N, 4)`` -> ``a/b (N, 4)`` with a name that is no file's, and ``places (2, K)`` of what is not 0."""
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node("Div", ["a", "b"], ["../a/b"]), helper.make_node("NonZero", ["a"], ["places"])],
        "ratio",
        [helper.make_tensor_value_info(name, FLOAT, ["N", 4]) for name in ("a", "b")],
        [
            helper.make_tensor_value_info("../a/b", FLOAT, ["N", 4]),
            helper.make_tensor_value_info("places", INT64, [2, None]),
        ],
    )
    ones = np.ones((1, 4), np.float32)
    return write_graph_bundle(graph, {"a": ones, "b": ones}, out)


def sum_bundle(out: Path) -> Path:
    """``x (1, 2)`` and the state ``so_far`` -> ``total``, which is the next run's ``so_far``."""
    from onnx import helper

    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "so_far"], ["total"])],
        "sum",
        [helper.make_tensor_value_info(name, FLOAT, [1, 2]) for name in ("x", "so_far")],
        [helper.make_tensor_value_info("total", FLOAT, [1, 2])],
    )
    zeros = np.zeros((1, 2), np.float32)
    return write_graph_bundle(graph, {"x": zeros, "so_far": zeros}, out, state=[{"output": "total", "input": "so_far"}])


def square_bundle(out: Path, batch: int = 2) -> Path:
    """``x (batch, 3)`` -> ``y (batch, 3)`` and ``mean ()`` of all."""
    from onnx import helper

    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "x"], ["y"]),
            helper.make_node("ReduceMean", ["y"], ["mean"], keepdims=0),
        ],
        "square",
        [helper.make_tensor_value_info("x", FLOAT, [batch, 3])],
        [helper.make_tensor_value_info("y", FLOAT, [batch, 3]), helper.make_tensor_value_info("mean", FLOAT, [])],
    )
    return write_graph_bundle(graph, {"x": np.ones((batch, 3), np.float32)}, out)
