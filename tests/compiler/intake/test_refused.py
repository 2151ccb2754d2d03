"""One broken model per rule: each must be refused in words that name the file, the node or tensor, and the mend."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgewright.core.errors import BadInputError, ExitCode, UnavailableError

from .conftest import Change, Read

CASES: dict[str, tuple[Change, str]] = {}


def case(words: str) -> Callable[[Change], Change]:
    """Registers a way to break the small model and what the refusal must say."""

    def register(change: Change) -> Change:
        CASES[change.__name__] = (change, words)
        return change

    return register


def _node(model: onnx.ModelProto, name: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def _set(node: onnx.NodeProto, name: str, value: object) -> None:
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def _weight(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(item for item in model.graph.initializer if item.name == name)


def _append(model: onnx.ModelProto, op: str, inputs: list[str], **attributes: object) -> None:
    model.graph.node.append(helper.make_node(op, inputs, [f"{op}.extra"], f"{op}.node", **attributes))


def _constant(model: onnx.ModelProto, name: str, value: object) -> str:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return name


@case("has no graph")
def no_graph(model: onnx.ModelProto) -> None:
    model.ClearField("graph")


@case("no opset_import")
def no_opset(model: onnx.ModelProto) -> None:
    del model.opset_import[:]


@case("opset 999 is outside of 7 to 25")
def opset_999(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 999


@case("opset 6 is outside of 7 to 25")
def opset_6(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 6


@case("ir_version 999 is outside")
def ir_999(model: onnx.ModelProto) -> None:
    model.ir_version = 999


@case("as version 20 and as 19")
def two_opsets(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="ai.onnx", version=19)


@case("cycle of 3 nodes, through .*'conv.y'")
def cycle(model: onnx.ModelProto) -> None:
    _node(model, "conv").input[0] = "gemm.y"


@case("cycle of 1 node")
def cycle_of_itself(model: onnx.ModelProto) -> None:
    _node(model, "reshape").input[0] = "flat"


@case("cycle of 1 node")
def cycle_through_a_branch(model: onnx.ModelProto) -> None:
    _node(model, "if").attribute[0].g.node[0].input[0] = "y"


@case("'flat' is made twice: by Reshape node 'reshape' and by Relu node 'Relu.node'")
def made_twice(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["conv.y"], ["flat"], "Relu.node"))


@case("'x' is made twice: by an input")
def makes_an_input(model: onnx.ModelProto) -> None:
    _node(model, "conv").output[0] = "x"


@case("input 'x' is there twice")
def input_twice(model: onnx.ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


@case("initializer 'conv.w' is there twice")
def initializer_twice(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(model.graph.initializer[0])


@case("output 'y' is there twice")
def output_twice(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


@case("takes 'nowhere', which nothing makes")
def undefined_input(model: onnx.ModelProto) -> None:
    _node(model, "gemm").input[0] = "nowhere"


@case("Tanh node 'Tanh.node' takes 'nowhere'")
def undefined_in_branch(model: onnx.ModelProto) -> None:
    _node(model, "if").attribute[0].g.node[0].input[0] = "nowhere"


@case("output 'nobody' is made by no node")
def output_nobody_makes(model: onnx.ModelProto) -> None:
    model.graph.output[0].name = "nobody"


@case("output 'x' of a graph in If node 'if' is made by no node of that graph")
def branch_returns_outer_value(model: onnx.ModelProto) -> None:
    _node(model, "if").attribute[0].g.output[0].name = "x"


@case("has no outputs")
def no_outputs(model: onnx.ModelProto) -> None:
    del model.graph.output[:]


def _function(name: str, calls: str, times: int = 1) -> onnx.FunctionProto:
    names = ["a", *(f"t{index}" for index in range(times))]
    nodes = [
        helper.make_node(calls, [one], [other], domain="own" if calls.startswith("F") else "")
        for one, other in itertools.pairwise(names)
    ]
    imports = [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["a"], [names[-1]], nodes, imports)


def _call(model: onnx.ModelProto, *functions: onnx.FunctionProto) -> None:
    model.functions.extend(functions)
    model.opset_import.add(domain="own", version=1)
    model.graph.node.append(helper.make_node(functions[0].name, ["x"], ["called"], domain="own"))


@case("function 'own::F0', 'own::F1' calls itself")
def recursive_functions(model: onnx.ModelProto) -> None:
    _call(model, _function("F0", "F1"), _function("F1", "F0"))


@case("its functions, written out, are .* nodes")
def exponential_functions(model: onnx.ModelProto) -> None:
    _call(model, *(_function(f"F{index}", f"F{index + 1}", 4) for index in range(30)), _function("F30", "Relu"))


@case("function 'own::F0' is defined twice")
def function_twice(model: onnx.ModelProto) -> None:
    _call(model, _function("F0", "Relu"), _function("F0", "Relu"))


@case("71 bytes of data, its dims .* need 288")
def raw_data_short(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").raw_data = b"\0" * 71


@case("product overflows")
def dims_overflow(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").dims[:] = [1 << 40, 1 << 40]


@case("product overflows")
def dims_overflow_to_zero_bits(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").dims[:] = [1 << 32, 1 << 32]  # 2^64: 0 in 64-bit arithmetic
    _weight(model, "conv.w").raw_data = b""


@case("-3 is negative")
def negative_dims(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").dims[0] = -3


@case("initializer 'conv.w' has the unknown data type 77")
def unknown_type(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").data_type = 77


@case("unknown element type 77")
def unknown_input_type(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.elem_type = 77


@case("negative size -5")
def negative_input_size(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -5


@case("its data twice")
def data_twice(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").float_data.append(1)


@case("is of FLOAT but has its data in int64_data")
def data_of_another_type(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").ClearField("raw_data")
    _weight(model, "conv.w").int64_data.extend([1] * 72)


@case("2 values in float_data")
def typed_data_short(model: onnx.ModelProto) -> None:
    _weight(model, "conv.w").ClearField("raw_data")
    _weight(model, "conv.w").float_data.extend([1, 2])


@case("attribute 'value' of Constant node 'shape.const' has 1 bytes")
def constant_short(model: onnx.ModelProto) -> None:
    _node(model, "shape.const").attribute[0].t.raw_data = b"1"


@case("is sparse")
def sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [5]))


@case("NaN or infinite values in 'conv.w'.*--allow-nonfinite")
def nan_weight(model: onnx.ModelProto) -> None:
    _change_weight(model, "conv.w", np.nan)


@case("NaN or infinite values in 'gemm.w'")
def infinite_weight(model: onnx.ModelProto) -> None:
    _change_weight(model, "gemm.w", np.inf)


@case("NaN or infinite values in 'gemm.w'")
def weight_like_a_mask(model: onnx.ModelProto) -> None:
    array = np.zeros((144, 3), np.float32)
    array[0] = -np.inf
    _weight(model, "gemm.w").CopyFrom(numpy_helper.from_array(array, "gemm.w"))


@case("NaN or infinite values in 'half'")
def nan_in_typed_half(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="half", data_type=TensorProto.FLOAT16, dims=[2], int32_data=[0x7E00, 0])


@case("NaN or infinite values in 'bf'")
def nan_in_bfloat16(model: onnx.ModelProto) -> None:
    model.graph.initializer.add(name="bf", data_type=TensorProto.BFLOAT16, dims=[2], raw_data=b"\xc0\x7f\0\0")


def _change_weight(model: onnx.ModelProto, name: str, value: float) -> None:
    tensor = _weight(model, name)
    array = numpy_helper.to_array(tensor).copy()
    array.flat[-1] = value
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def _quantize(model: onnx.ModelProto, scale: object) -> None:
    _append(model, "QuantizeLinear", ["x", _constant(model, "the.scale", scale)])


@case("scale 'the.scale' of 0, scales must be finite and above zero")
def scale_zero(model: onnx.ModelProto) -> None:
    _quantize(model, np.float32(0))


@case("scale 'the.scale' of -1")
def scale_negative(model: onnx.ModelProto) -> None:
    _quantize(model, np.array([1, -1], np.float32))


@case("scale 'the.scale' of nan")
def scale_nan(model: onnx.ModelProto) -> None:
    _quantize(model, np.float32(np.nan))


@case("DequantizeLinear node 'DequantizeLinear.node' has the scale 's' of 0")
def scale_zero_in_constant_node(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Constant", [], ["s"], value_float=0.0))
    _append(model, "DequantizeLinear", [_constant(model, "q", np.zeros(3, np.int8)), "s"])


@case("Conv node 'conv' has strides .0, 1.*at least 1")
def stride_zero(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "strides", [0, 1])


@case("group 0")
def group_zero(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "group", 0)


@case("dilations")
def dilation_negative(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "dilations", [1, -1])


@case("negative")
def pads_negative(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "pads", [0, 0, 0, -9])


@case("MaxPool node 'MaxPool.node' has kernel_shape .0, 0")
def kernel_zero(model: onnx.ModelProto) -> None:
    _append(model, "MaxPool", ["x"], kernel_shape=[0, 0])


@case("more than one -1")
def reshape_two_unknown(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.array([-1, -1], np.int64))
    _node(model, "shape.const").attribute[0].t.CopyFrom(tensor)


@case("blocksize 0")
def blocksize_zero(model: onnx.ModelProto) -> None:
    _append(model, "SpaceToDepth", ["x"], blocksize=0)


@case("divides or steps by 0")
def slice_step_zero(model: onnx.ModelProto) -> None:
    names = [_constant(model, f"k{index}", np.array([value], np.int64)) for index, value in enumerate((0, 9, 0, 0))]
    _append(model, "Slice", ["x", *names])


@case("divides or steps by 0")
def integer_division_by_zero(model: onnx.ModelProto) -> None:
    _append(model, "Div", [_constant(model, "a", np.int64(1)), _constant(model, "b", np.int64(0))])


@case("not a permutation")
def transpose_twice_the_same(model: onnx.ModelProto) -> None:
    _append(model, "Transpose", ["x"], perm=[0, 1, 1, 3])


@case("negative")
def tensor_of_negative_size(model: onnx.ModelProto) -> None:
    _append(model, "ConstantOfShape", [_constant(model, "n", np.array([-4], np.int64))])


@case("has 1 inputs, it takes 2 or more|has 1 inputs, it takes 2 to 3")
def too_few_inputs(model: onnx.ModelProto) -> None:
    del _node(model, "conv").input[1:]


@case("lacks the attribute 'kernel_shape'")
def missing_attribute(model: onnx.ModelProto) -> None:
    _append(model, "MaxPool", ["x"])


@case("attribute 'color', which the operator does not take")
def unknown_attribute(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "color", 1)


@case("must be of type INTS")
def attribute_of_another_type(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "strides", 1.5)


@case("attribute twice")
def attribute_twice(model: onnx.ModelProto) -> None:
    node = _node(model, "conv")
    node.attribute.append(node.attribute[0])


@case("attribute 'auto_pad' of Conv node 'conv' is not UTF-8")
def text_attribute_not_utf8(model: onnx.ModelProto) -> None:
    _set(_node(model, "conv"), "auto_pad", b"\xff\xfe")


@case("refers to a function's attribute")
def reference_outside_of_functions(model: onnx.ModelProto) -> None:
    _node(model, "conv").attribute[0].ref_attr_name = "k"


@case("do not fit each other")
def shapes_that_do_not_fit(model: onnx.ModelProto) -> None:
    _weight(model, "gemm.w").CopyFrom(numpy_helper.from_array(np.ones((145, 3), np.float32), "gemm.w"))


@case("do not fit each other")
def types_that_do_not_fit(model: onnx.ModelProto) -> None:
    _append(model, "Add", ["x", _constant(model, "i", np.int64(1))])


@pytest.mark.parametrize("name", CASES)
def test_is_refused_with_its_place_and_rule(name: str, small: onnx.ModelProto, read: Read, tmp_path: Path) -> None:
    read(small)  # valid until it is broken
    change, words = CASES[name]
    change(small)
    with pytest.raises(BadInputError, match=f"(?s){words}") as caught:
        read(small)
    assert caught.value.exit_code == ExitCode.BAD_INPUT
    assert caught.value.problem.startswith(str(tmp_path / "model.onnx"))
    assert caught.value.remedy


def test_unknown_operators_are_all_listed(small: onnx.ModelProto, read: Read) -> None:
    _append(small, "Frobnicate", ["x"])
    _append(small, "FlashAttention", ["x"])
    small.graph.node.append(helper.make_node("Foo", ["x"], ["foo"], domain="not.imported"))
    with pytest.raises(UnavailableError) as caught:
        read(small)
    for word in ("ai.onnx::Frobnicate (1 node)", "ai.onnx::FlashAttention", "not.imported::Foo"):
        assert word in str(caught.value)
    assert caught.value.exit_code == ExitCode.UNAVAILABLE


def test_an_operator_of_a_later_opset_is_told_from_an_unknown_one(small: onnx.ModelProto, read: Read) -> None:
    small.opset_import[0].version = 13
    _append(small, "Gelu", ["x"])
    with pytest.raises(UnavailableError, match="came with opset 20, not 13"):
        read(small)
