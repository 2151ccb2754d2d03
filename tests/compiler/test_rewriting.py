from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from edgewright.compiler.graphs import (
    constant,
    integers,
    rename,
    retitled,
    same_shape,
    scalar,
    sole_consumer,
    working_copy,
)
from edgewright.compiler.rewriting import Rewriting, Tally
from edgewright.core.model import OnnxModel

TEXT = """g (float[N,4] x) => (float[N,4] y, float[N,4] z) {
    a = Relu (x) b = Mul (a, k) y = Neg (b) z = Abs (b) }"""


@pytest.fixture
def model(parse) -> OnnxModel:
    return parse(TEXT, {"k": np.float32(2)})


def _value(work: Rewriting, name: str) -> ir.Value:
    return ir.convenience.create_value_mapping(work.model.graph)[name]


def test_a_working_copy_shares_nothing_that_can_change(model):
    before = OnnxModel(model.ir, "g").digest
    copy = working_copy(model)
    for value in [*copy.graph.inputs, *copy.graph.initializers.values()]:
        rename(value, f"{value.name}.new")
        value.dtype = ir.DataType.FLOAT16
    assert OnnxModel(model.ir, "g").digest == before
    assert model.ir.graph.initializers["k"].const_value.name == "k"


def test_a_graph_output_keeps_its_name_when_its_maker_is_replaced(model, run_model):
    work = Rewriting(model)
    work.redirect(_value(work, "y"), _value(work, "b"))
    work.did("graph", "test")
    result = work.outcome().model
    assert [spec.name for spec in result.outputs] == ["y", "z"]
    assert [node.op_type for node in result.ir.graph] == ["Relu", "Mul", "Abs"]
    (answer,) = run_model(result, [{"x": np.ones((1, 4), np.float32)}])
    assert answer["y"][0, 0] == answer["z"][0, 0] == 2


def test_an_input_as_an_output_gets_an_identity(model, run_model):
    work = Rewriting(model)
    work.redirect(_value(work, "y"), _value(work, "x"))
    work.did("graph", "test")
    result = work.outcome().model
    (answer,) = run_model(result, [{"x": np.full((1, 4), -3, np.float32)}])
    assert answer["y"][0, 0] == -3


def test_what_loses_its_last_reader_goes_with_all_that_only_it_needed(model):
    work = Rewriting(model)
    kept = _value(work, "a")
    for name in ("y", "z"):
        work.redirect(_value(work, name), kept)
    work.did("graph", "test")
    result = work.outcome().model
    assert "k" not in result.ir.graph.initializers
    assert "Mul" not in [node.op_type for node in result.ir.graph]


def test_no_change_is_the_same_handle(model):
    work = Rewriting(model)
    work.skipped("a", "a near miss")
    outcome = work.outcome()
    assert outcome.model is model
    assert outcome.changed == 0


def test_names_are_free_and_a_shared_hint_costs_no_search(model):
    work = Rewriting(model)
    names = [work.unique("a") for _ in range(3000)]
    assert len(set(names)) == 3000
    assert "a" not in names


def test_a_reader_in_a_body_is_no_sole_consumer(specimen_text, parse):
    model = parse(specimen_text)
    values = ir.convenience.create_value_mapping(model.ir.graph)
    assert sole_consumer(values["t"]) is None
    assert sole_consumer(values["u"]) is not None


@pytest.fixture
def specimen_text() -> str:
    return """g (float[4] x, bool c) => (float[4] y) {
        u = Abs (x) t = Relu (u)
        y = If (c) <then_branch = a () => (float[4] p) { p = Neg (t) },
                    else_branch = b () => (float[4] q) { q = Abs (x) }>
    }"""


def test_constants_are_read_wherever_they_stand(parse):
    model = parse(
        """g (float[4] x) => (float[4] y) {
            one = Constant <value = float[1] {1}> () list = Constant <value = int64[2] {3, 4}> ()
            text = Constant <value_string = "a"> () y = Add (x, k) }""",
        {"k": np.float32(2)},
    )
    values = ir.convenience.create_value_mapping(model.ir.graph)
    assert scalar(values["one"]) == 1
    assert integers(values["list"]) == [3, 4]
    assert scalar(values["list"]) is None
    assert integers(values["one"]) is None
    assert scalar(values["k"]) == 2
    assert constant(values["x"]) is None
    assert constant(values["text"]) is None
    assert constant(values["list"], largest=1) is None


def test_an_initializer_that_is_an_input_is_no_constant():
    import onnx

    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17]>
        g (float[1] x, float[1] k) => (float[1] y) <float[1] k = {1}> { y = Add (x, k) }"""
    )
    graph = ir.from_proto(proto).graph
    assert scalar(graph.initializers["k"]) is None


def test_shapes_are_equal_only_when_every_size_is_known():
    def value(*sizes: int | str | None) -> ir.Value:
        return ir.Value(name="v", shape=ir.Shape(sizes))

    assert same_shape(value("N", 3), value("N", 3))
    assert not same_shape(value("N", 3), value("M", 3))
    assert not same_shape(value(None, 3), value(None, 3))
    assert not same_shape(ir.Value(name="v"), value(3))


def test_many_like_notes_become_one():
    tally = Tally()
    for index in range(300):
        tally.add("skipped", f"node{index}", "too old")
    tally.add("did", "graph", "fused")
    tally.add("did", "graph", "fused")
    assert [(note.subject, note.text) for note in tally.notes()] == [
        ("node0", "too old (and 299 others)"),
        ("graph", "fused: 2 times"),
    ]


def test_tensors_of_every_kind_take_another_name():
    texts = ir.StringTensor([b"a", b"b"], shape=ir.Shape([2]), name="old")
    assert retitled(texts, "new").name == "new"
    assert texts.name == "old"
    proto = ir.to_proto(ir.tensor(np.arange(3), name="old"))
    original = ir.from_proto(proto)
    fresh = retitled(original, "new")
    assert (fresh.name, original.name, proto.name) == ("new", "old", "old")
    np.testing.assert_array_equal(fresh.numpy(), np.arange(3))
