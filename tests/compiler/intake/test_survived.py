"""What must be survived: hostile names, depth, length, bombs, and random damage."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.core.errors import EdgewrightError

from .conftest import Read, small_model


def test_hostile_names_survive(small: onnx.ModelProto, read: Read) -> None:
    names = ["nul\0", "\u202ertl", "../../x", "</script>", "\x1b[31m", "$(rm -rf)", "long" * 250_000]
    previous = "gemm.y"
    for name in names:
        small.graph.node.append(helper.make_node("Relu", [previous], [name], name))
        previous = name
    small.graph.output.append(helper.make_tensor_value_info(previous, TensorProto.FLOAT, ["N", 3]))
    model = read(small)
    assert {node.name for node in model.ir.graph} >= set(names)
    assert model.outputs[1].name == previous
    small.graph.node[-1].input[0] = "undefined" * 100_000
    with pytest.raises(EdgewrightError) as caught:
        read(small)
    assert len(str(caught.value)) < 2000


def test_thirty_nested_ifs_are_read(read: Read) -> None:
    def leaf(name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
        return helper.make_graph([helper.make_node("Identity", ["x"], [name])], name, [], [out])

    graph = leaf("innermost")
    for depth in range(30):
        out = helper.make_tensor_value_info(f"o{depth}", TensorProto.FLOAT, [1])
        node = helper.make_node("If", ["c"], [f"o{depth}"], then_branch=graph, else_branch=leaf(f"l{depth}"))
        graph = helper.make_graph([node], f"g{depth}", [], [out])
    graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]))
    graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    assert len(list(model.ir.graph.all_nodes())) == 61


def test_a_chain_of_100_000_nodes_is_read_in_ten_seconds(read: Read) -> None:
    nodes = [helper.make_node("Relu", [f"t{index}"], [f"t{index + 1}"]) for index in range(100_000)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("t0", "t100000")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    started = time.process_time()
    model = read(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    # Processor time: the machine may be shared. About 4 s where this was written.
    assert time.process_time() - started < 10
    assert model.outputs[0].shape == (1,)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("ConstantOfShape", ["huge"], ["big"]),
        helper.make_node("Expand", ["one", "huge"], ["big"]),
        helper.make_node("Range", ["zero", "end", "step"], ["big"]),
    ],
    ids=["ConstantOfShape", "Expand", "Range"],
)
def test_a_small_file_that_means_terabytes_is_read_without_making_them(
    node: onnx.NodeProto, small: onnx.ModelProto, read: Read
) -> None:
    values = {"huge": np.array([1 << 20, 1 << 20]), "one": 1.0, "zero": 0, "end": 1 << 62, "step": 1}
    small.graph.initializer.extend(numpy_helper.from_array(np.asarray(item), name) for name, item in values.items())
    small.graph.node.append(node)
    assert read(small).inputs


def test_a_loop_of_2_to_the_62_trips_is_read_without_running_it(small: onnx.ModelProto, read: Read) -> None:
    trip, going = (
        helper.make_tensor_value_info(name, kind, [])
        for name, kind in (("i", TensorProto.INT64), ("going", TensorProto.BOOL))
    )
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    count, one = (helper.make_tensor_value_info(name, TensorProto.INT64, []) for name in ("count", "one"))
    nodes = [helper.make_node("Identity", ["going"], ["on"]), helper.make_node("Add", ["count", "i"], ["one"])]
    body = helper.make_graph(nodes, "body", [trip, going, count], [on, one])
    small.graph.initializer.append(numpy_helper.from_array(np.array(1 << 62), "trips"))
    small.graph.node.append(helper.make_node("Loop", ["trips", "c", "trips"], ["looped"], body=body))
    assert read(small).inputs


@settings(max_examples=200)
@given(data=st.data())
def test_mutated_files_are_read_or_refused_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = bytearray(small_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.none(), st.integers(0, len(whole))))
    path = tmp_path_factory.mktemp("fuzz") / "model.onnx"
    path.write_bytes(whole[:cut])
    _read_or_refuse(path)


@settings(max_examples=200)
@given(data=st.data())
def test_mutated_graphs_are_read_or_refused_and_nothing_else(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Changes fields to other plausible values, which random bytes hardly ever do."""
    model = small_model()
    names = ["x", "c", "y", "conv.w", "gemm.y", "flat", "", "Relu.out", "new"]
    ops = [
        "Conv",
        "Relu",
        "Loop",
        "Scan",
        "If",
        "Cast",
        "Reshape",
        "Split",
        "Resize",
        "LSTM",
        "MaxPool",
        "Einsum",
        "Pad",
    ]
    numbers = st.sampled_from([0, 1, -1, 2, 3, 1 << 31, 1 << 62, -(1 << 63)])
    for _ in range(data.draw(st.integers(1, 4))):
        node = data.draw(st.sampled_from(list(model.graph.node)))
        tensor = data.draw(st.sampled_from(list(model.graph.initializer)))
        change = data.draw(st.integers(0, 7))
        if change == 0:
            node.op_type = data.draw(st.sampled_from(ops))
        elif change == 1:
            node.input.append(data.draw(st.sampled_from(names)))
        elif change == 2 and node.input:
            node.input[data.draw(st.integers(0, len(node.input) - 1))] = data.draw(st.sampled_from(names))
        elif change == 3:
            key = data.draw(st.sampled_from(["axis", "to", "strides", "group", "kernel_shape", "hidden_size", "value"]))
            node.attribute.append(helper.make_attribute(key, data.draw(st.lists(numbers, min_size=1, max_size=4))))
        elif change == 4:
            tensor.dims[:] = data.draw(st.lists(numbers, max_size=5))
        elif change == 5:
            tensor.data_type = data.draw(st.integers(-1, 30))
        elif change == 6:
            model.opset_import[0].version = data.draw(st.integers(5, 27))
        else:
            value = data.draw(st.sampled_from([*model.graph.input, *model.graph.output]))
            value.type.tensor_type.elem_type = data.draw(st.integers(0, 25))
    path = tmp_path_factory.mktemp("fuzz") / "model.onnx"
    path.write_bytes(model.SerializeToString())
    _read_or_refuse(path)


def _read_or_refuse(path: Path) -> None:
    try:
        model = read_onnx(path)
    except EdgewrightError as error:
        assert error.remedy  # noqa: PT017 - success is as good
        return
    assert model.digest
    assert model.outputs


def test_real_models_are_read(models_folder: Path) -> None:
    files = sorted(models_folder.rglob("*.onnx"))
    assert files
    for path in files:
        model = read_onnx(path)
        assert model.inputs
        assert model.outputs
        assert not [node for node in model.ir.graph if node.op_type == "Constant" and node.domain == ""]


@pytest.mark.full
def test_onnx_node_suite_is_read_or_refused_for_its_opset(tmp_path: Path) -> None:
    """Every node model of onnx within the supported opsets is valid by definition."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the suite's own arithmetic overflows on purpose
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    path = tmp_path / "model.onnx"
    counts = {"read": 0, "other opset": 0}
    for item in cases:
        version = next((entry.version for entry in item.model.opset_import if entry.domain == ""), 20)
        path.write_bytes(item.model.SerializeToString())
        if 7 <= version <= 25:
            read_onnx(path)
            counts["read"] += 1
        else:
            with pytest.raises(EdgewrightError, match="outside of 7 to 25"):
                read_onnx(path)
            counts["other opset"] += 1
    assert counts["read"] > 1500
