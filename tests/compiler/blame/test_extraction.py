"""Any piece of a model, fed with what the whole model computed at its cuts, computes what the whole model computed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.blame.extraction import before, behind, extracted, node_names, recorded, working_nodes
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, Feeds, Outputs

Run = Callable[[OnnxModel, Iterable[Feeds]], Iterator[Outputs]]
FEEDS = {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)}


@st.composite
def models(draw: st.DrawFn) -> OnnxModel:
    """Up to 12 nodes that each read any earlier tensor: constants, weights, several results, a body that captures."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    nodes, made = [], ["x"]
    weights = [onnx.numpy_helper.from_array(rng.normal(size=(4, 4)).astype(np.float32), "w")]
    weights.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    for place in range(draw(st.integers(1, 12))):
        first, second = draw(st.sampled_from(made)), draw(st.sampled_from(made))
        name, op = f"t{place}", draw(st.sampled_from(["Tanh", "Add", "MatMul", "Shift", "Split", "If"]))
        if op == "Shift":
            value = onnx.numpy_helper.from_array(np.float32(rng.normal()), "")
            nodes.append(helper.make_node("Constant", [], [f"{name}.c"], f"{name}.constant", value=value))
            nodes.append(helper.make_node("Sub", [first, f"{name}.c"], [name], name))
        elif op == "Split":
            nodes.append(helper.make_node("Split", [first], [f"{name}.a", f"{name}.b"], name, axis=1, num_outputs=2))
            made.append(f"{name}.j")
            nodes.append(helper.make_node("Concat", [f"{name}.b", f"{name}.a"], [f"{name}.j"], f"{name}.join", axis=1))
            continue
        elif op == "If":
            bodies = {}
            for branch, inner in (("then_branch", first), ("else_branch", second)):
                result = helper.make_tensor_value_info(f"{name}.{branch}", kind, ["N", 4])
                body = [helper.make_node("Neg", [inner], [f"{name}.{branch}"], f"{name}.neg")]
                bodies[branch] = helper.make_graph(body, branch, [], [result])
            nodes.append(helper.make_node("If", ["yes"], [name], name, **bodies))
        else:
            inputs = {"Tanh": [first], "Add": [first, second], "MatMul": [first, "w"]}[op]
            nodes.append(helper.make_node(op, inputs, [name], name))
        made.append(name)
    outputs = [helper.make_tensor_value_info(made[-1], kind, ["N", 4])]
    graph = helper.make_graph(nodes, "drawn", [helper.make_tensor_value_info("x", kind, ["N", 4])], outputs, weights)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(proto)
    return OnnxModel(ir.from_proto(proto), "drawn")


def all_tensors(model: OnnxModel, run: Run) -> dict[str, Array]:
    return recorded(model, FEEDS, run)


def check_piece(model: OnnxModel, nodes: set[int], tensors: dict[str, Array], run: Run) -> None:
    piece = extracted(model, nodes, tensors)
    assert piece is not None
    onnx.checker.check_model(ir.to_proto(piece.model.ir))
    assert {spec.name for spec in piece.model.inputs} == piece.feeds.keys()
    (answer,) = run(piece.model, [piece.feeds])
    assert answer
    for name, value in answer.items():
        np.testing.assert_array_equal(value, tensors[name], err_msg=name)


@given(data=st.data(), model=models())
def test_any_subgraph_between_two_cuts_computes_the_whole_models_tensors(
    run_model: Run, data: st.DataObject, model: OnnxModel
) -> None:
    nodes = working_nodes(model)
    low = data.draw(st.integers(0, len(nodes) - 1))
    high = data.draw(st.integers(low + 1, len(nodes)))
    digest = model.digest
    check_piece(model, set(nodes[low:high]), all_tensors(model, run_model), run_model)
    again = OnnxModel(model.ir, model.name)
    assert again.digest == digest, "the model itself is left as it is"


@given(data=st.data(), model=models())
def test_so_does_any_set_of_nodes(run_model: Run, data: st.DataObject, model: OnnxModel) -> None:
    nodes = data.draw(st.sets(st.sampled_from(working_nodes(model)), min_size=1))
    check_piece(model, nodes, all_tensors(model, run_model), run_model)


@given(model=models())
def test_what_an_output_needs_is_enough_to_compute_it(run_model: Run, model: OnnxModel) -> None:
    (name,) = [spec.name for spec in model.outputs]
    piece = extracted(model, before(model, [name]), FEEDS, [name])
    if name == "x":
        return
    assert piece is not None
    (answer,) = run_model(piece.model, [piece.feeds])
    np.testing.assert_array_equal(answer[name], next(run_model(model, [FEEDS]))[name])


def test_what_is_behind_a_tensor_answers_otherwise_when_that_does(
    parse: Callable[..., OnnxModel], run_model: Run
) -> None:
    model = parse(
        "net (float[N,4] x) => (float[N,4] y) { a = Tanh(x)  b = Neg(x)  c = Add(a, b)  d = Neg(b)  y = Mul(c, d) }"
    )
    assert node_names(model, sorted(behind(model, ["a"]))) == ["c (Add)", "y (Mul)"]
    assert node_names(model, sorted(before(model, ["c"]))) == ["a (Tanh)", "b (Neg)", "c (Add)"]
    tensors = all_tensors(model, run_model)
    piece = extracted(model, behind(model, ["a"]), {**tensors, "a": np.zeros_like(tensors["a"])})
    assert piece is not None
    (answer,) = run_model(piece.model, [piece.feeds])
    np.testing.assert_allclose(answer["y"], -(FEEDS["x"] ** 2), rtol=1e-6)


def test_a_piece_whose_input_nobody_saw_is_none(parse: Callable[..., OnnxModel]) -> None:
    model = parse("net (float[N,4] x) => (float[N,4] y) { a = Tanh(x)  y = Neg(a) }")
    assert extracted(model, {1}, FEEDS) is None
    assert extracted(model, {0}, FEEDS) is not None
    assert extracted(model, set(), FEEDS) is None


def test_a_tensor_that_no_engine_returns_costs_itself_alone(parse: Callable[..., OnnxModel], run_model: Run) -> None:
    model = parse("net (float[N,4] x) => (float[N,4] y) { a = Tanh(x)  b = Neg(a)  c = Abs(b)  y = Neg(c) }")

    def blind(asked: OnnxModel, feeds: Iterable[Feeds]) -> Iterator[Outputs]:
        if any(spec.name == "b" for spec in asked.outputs):
            raise EngineError("not that one")
        return run_model(asked, feeds)

    assert recorded(model, FEEDS, blind).keys() == {"x", "a", "c", "y"}
