from __future__ import annotations

import numpy as np

from edgewright.compiler.passes.deduplicate import Deduplicate

X = [{"x": np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)}]


def test_equal_weights_become_one_and_unlike_types_stay(apply, parse, texts):
    zeros = np.zeros(3, np.float32)
    weights = {"a": zeros, "b": zeros.copy(), "c": zeros.reshape(1, 3), "d": zeros.astype(np.int32), "e": -zeros}
    model = parse(
        """g (float[2,3] x) => (float[2,3] y) {
            p = Add (x, a) q = Add (p, b) r = Add (q, c) f = Cast <to = 1> (d) s = Add (r, f) y = Div (s, e) }""",
        weights,
    )
    outcome = apply(Deduplicate(), model, X)
    # -0.0 equals 0.0 but has other bytes: dividing by it is not the same.
    assert sorted(outcome.model.ir.graph.initializers) == ["a", "c", "d", "e"]
    assert "merged 1 equal initializers, 12 bytes" in texts(outcome)


def test_equal_nodes_become_one_and_both_outputs_keep_their_names(apply, parse, operators):
    model = parse(
        """g (float[2,3] x) => (float[2,3] y, float[2,3] z) {
            a = Softmax <axis = 1> (x) b = Softmax <axis = 1> (x) c = Softmax <axis = 0> (x)
            y = Add (a, c) z = Add (b, c) }"""
    )
    outcome = apply(Deduplicate(), model, X)
    assert operators(outcome.model) == ["Add", "Identity", "Softmax", "Softmax"]


def test_random_and_quantised_nodes_stay_apart(apply, parse):
    scale = {"s": np.float32(0.1), "z": np.uint8(128)}
    model = parse(
        """g (float[2,3] x) => (float[2,3] y, float[2,3] z2) {
            a = QuantizeLinear (x, s, z) b = QuantizeLinear (x, s, z)
            y = DequantizeLinear (a, s, z) z2 = DequantizeLinear (b, s, z) }""",
        scale,
    )
    assert apply(Deduplicate(), model, X).changed == 0
    noise = parse(
        "g (float[2,3] x) => (float[2,3] y) { a = RandomNormalLike (x) b = RandomNormalLike (x) y = Sub (a, b) }"
    )
    assert apply(Deduplicate(), noise).changed == 0


def test_a_node_with_fewer_outputs_does_not_stand_for_one_with_more(apply, parse, operators):
    model = parse(
        """g (float[1,1,4,4] x) => (float[1,1,2,2] y, int64[1,1,2,2] i) {
            y = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x)
            v, i = MaxPool <kernel_shape = [2,2], strides = [2,2]> (x) }"""
    )
    outcome = apply(Deduplicate(), model, [{"x": np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4)}])
    assert operators(outcome.model) == ["MaxPool", "MaxPool"]


def test_bodies_are_merged_within_themselves(apply, specimen_of, operators):
    specimen = specimen_of("branches")
    outcome = apply(Deduplicate(), specimen.model, specimen.feeds)
    assert operators(specimen.model).count("Add") - operators(outcome.model).count("Add") == 1
