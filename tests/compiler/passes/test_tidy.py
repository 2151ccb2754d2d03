from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from edgewright.compiler.passes.tidy import Tidy
from edgewright.core.model import OnnxModel

X = [{"x": np.arange(6, dtype=np.float32).reshape(2, 3) - 2}]


def test_functions_are_inlined_and_removed(apply, operators):
    proto = onnx.parser.parse_model(
        """<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
        g (float[2,3] x) => (float[2,3] y) { a = mine.twice (x) y = mine.twice (a) }
        <domain: "mine", opset_import: ["" : 17]> twice (v) => (w) { w = Add (v, v) }
        <domain: "mine", opset_import: ["" : 17]> never (v) => (w) { w = Sub (v, v) }"""
    )
    outcome = apply(Tidy(), OnnxModel(ir.from_proto(proto), "g"), X)
    assert operators(outcome.model) == ["Add", "Add"]
    assert not outcome.model.ir.functions
    assert "inlined 2 calls of 2 local functions" in outcome.notes[0].text


def test_initializers_that_are_inputs_become_constant(apply):
    proto = onnx.parser.parse_model(
        """<ir_version: 3, opset_import: ["" : 8]>
        g (float[2,3] x, float[3] w) => (float[2,3] y) <float[3] w = {1, 2, 3}> { y = Mul (x, w) }"""
    )
    model = OnnxModel(ir.from_proto(proto), "g")
    outcome = apply(Tidy(), model, X)
    assert [value.name for value in outcome.model.ir.graph.inputs] == ["x"]
    assert outcome.model.ir.ir_version >= 4  # before, an initializer had to be an input
    assert outcome.model.inputs == model.inputs


def test_every_kind_of_constant_is_lifted_but_one_that_is_an_output(apply, operators, parse):
    model = parse(
        """g (float[2,3] x) => (float[2,3] y, float k) {
            a = Constant <value_float = 2.0> ()
            b = Constant <value_ints = [1, 0]> ()
            k = Constant <value = float {3.0}> ()
            m = Mul (x, a)
            t = Transpose <perm = [0, 1]> (m)
            n = Mul (t, k)
            s = Shape (b)
            u = Cast <to = 1> (s)
            y = Add (n, u)
        }"""
    )
    outcome = apply(Tidy(), model, X)
    assert operators(outcome.model).count("Constant") == 1
    assert any("graph output stays a node" in note.text for note in outcome.notes)


def test_identities_go_and_outputs_keep_their_names(apply, operators, parse):
    model = parse(
        """g (float[2,3] x) => (float[2,3] y, float[2,3] z, float[2,3] same) {
            a = Identity (x)
            b = Relu (a)
            y = Identity (b)
            z = Identity (b)
            same = Identity (x)
        }"""
    )
    outcome = apply(Tidy(), model, X)
    # b became y; z needs a node of its own, and so does an input that is returned.
    assert operators(outcome.model) == ["Identity", "Identity", "Relu"]


def test_dropout_goes_unless_it_may_train_or_its_mask_is_read(apply, operators, texts, parse):
    model = parse(
        """g (float[2,3] x, bool t) => (float[2,3] y, bool[2,3] m) {
            r = Constant <value_float = 0.5> ()
            a, m = Dropout (x)
            b = Dropout (a, r)
            y = Dropout (b, r, t)
        }"""
    )
    outcome = apply(Tidy(), model, [{**X[0], "t": np.array(False)}])
    assert operators(outcome.model).count("Dropout") == 2
    assert "its mask is read" in texts(outcome)
    assert "known only at run time" in texts(outcome)


def test_dead_code_goes_in_bodies_too(apply, operators, parse):
    model = parse(
        """g (float[2,3] x, bool c) => (float[2,3] y) {
            unused = Relu (x)
            y = If (c) <then_branch = t () => (float[2,3] a) { dead = Neg (x) a = Abs (x) },
                        else_branch = e () => (float[2,3] b) { b = Neg (x) }>
        }"""
    )
    outcome = apply(Tidy(), model, [{**X[0], "c": np.array(flag)} for flag in (True, False)])
    assert operators(outcome.model) == ["Abs", "If", "Neg"]
    assert "removed 2 nodes that nothing reads" in outcome.notes[-1].text
