from __future__ import annotations

import numpy as np
import pytest

from edgewright.compiler.passes.infer_shapes import InferShapes
from edgewright.compiler.passes.simplify_layout import SimplifyLayout

X = [{"x": np.random.default_rng(n).normal(size=(n, 3, 4, 4)).astype(np.float32)} for n in (1, 2)]
CONSTANTS = {
    "zero": np.array([0]),
    "one": np.array([1]),
    "huge": np.array([2**31]),
    "most": np.array([3]),
    "same": np.array([0, 3, 4, 4]),
    "flat": np.array([-1, 48]),
    "zeros": np.zeros(8, np.int64),
    "ones": np.ones(4, np.int64),
    "axis": np.array([1]),
    "minus": np.array([-4]),
}


@pytest.mark.parametrize(
    ("nodes", "left"),
    [
        ("a = Transpose <perm = [0,1,2,3]> (x)", []),
        ("a = Reshape (x, same)", []),
        ("a = Expand (x, ones)", []),
        ("a = Cast <to = 1> (x)", []),
        ("a = Slice (x, zero, huge, axis, one)", []),
        ("a = Slice (x, zero, most, axis, one)", []),
        ("a = Pad (x, zeros)", []),
        ("a = Tile (x, ones)", []),
        ("a = Concat <axis = 1> (x)", []),
        ("b = Transpose <perm = [0,2,3,1]> (x) a = Transpose <perm = [0,3,1,2]> (b)", []),
        ("b = Transpose <perm = [0,2,3,1]> (x) a = Transpose <perm = [0,2,3,1]> (b)", ["Transpose"]),
        ("b = Unsqueeze (x, axis) a = Squeeze (b, axis)", []),
        ("b = Unsqueeze (x, axis) a = Squeeze (b, minus)", []),
        ("b = Unsqueeze (x, zero) a = Squeeze (b, zero)", []),
        ("b = Flatten (x) a = Reshape (b, flat)", ["Reshape"]),
        ("b = Flatten (x) c = Unsqueeze (b, axis) a = Reshape (c, same)", []),
        ("a = Slice (x, one, huge, axis, one)", ["Slice"]),
        ("a = Cast <to = 11> (x)", ["Cast"]),
    ],
)
def test_what_moves_nothing_goes(nodes, left, apply, parse, operators):
    kind = "double" if "to = 11" in nodes else "float"
    size = "P,Q" if "flat" in nodes else "P,Q,R,S"
    model = parse(f"g (float[N,3,4,4] x) => ({kind}[{size}] y) {{ {nodes} y = Neg (a) }}", CONSTANTS)
    outcome = apply(SimplifyLayout(), InferShapes()(model, None).model, X)
    assert operators(outcome.model) == sorted([*left, "Neg"])


def test_an_output_keeps_what_gives_it_a_name(apply, parse, operators):
    model = parse("g (float[N,3,4,4] x) => (float[N,3,4,4] y) { y = Reshape (x, same) }", CONSTANTS)
    outcome = apply(SimplifyLayout(), model, X)
    assert operators(outcome.model) == ["Reshape"]
    assert outcome.changed == 0


def test_a_zero_is_not_read_through_where_it_copies_another_size(apply, parse, operators):
    shapes = {"first": np.array([0, 12, 4]), "second": np.array([0, 0, 2, 2])}
    model = parse(
        "g (float[N,3,4,4] x) => (float[N,12,2,2] y) { a = Reshape (x, first) y = Reshape (a, second) }", shapes
    )
    outcome = apply(SimplifyLayout(), InferShapes()(model, None).model, X)
    assert operators(outcome.model) == ["Reshape", "Reshape"]


def test_a_computed_shape_becomes_constant_and_its_arithmetic_goes(apply, parse, operators):
    model = parse(
        """g (float[N,T,12] x) => (float[N,T,3,4] y) {
            s = Shape (x) n = Slice (s, zero, two) c = Concat <axis = 0> (n, heads) y = Reshape (x, c) }""",
        {"zero": np.array([0]), "two": np.array([2]), "heads": np.array([3, 4])},
    )
    feeds = [{"x": np.ones((2, 5, 12), np.float32)}]
    outcome = apply(SimplifyLayout(), InferShapes()(model, None).model, feeds)
    assert operators(outcome.model) == ["Reshape"]


@pytest.mark.parametrize(
    ("pad", "conv", "reason"),
    [
        ("Pad (x, spatial)", "Conv", ""),
        ("Pad (x, spatial, nought)", "Conv <pads = [1,0,1,0]>", ""),
        ("Pad (x, spatial, half)", "Conv", "does not pad with zeros"),
        ('Pad <mode = "reflect"> (x, spatial)', "Conv", "does not pad with a constant"),
        ("Pad (x, batch)", "Conv", "pads batch or channels"),
        ("Pad (x, crop)", "Conv", "it crops"),
        ("Pad (x, spatial)", 'Conv <auto_pad = "SAME_UPPER">', "pads by itself"),
    ],
)
def test_a_pad_moves_into_the_convolution(pad, conv, reason, apply, parse, operators, texts):
    weights = {
        "spatial": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
        "batch": np.array([1, 0, 0, 0, 0, 0, 0, 0]),
        "crop": np.array([0, 0, -1, 0, 0, 0, 0, 0]),
        "half": np.float32(0.5),
        "nought": np.float32(0),
        "w": np.random.default_rng(0).normal(size=(2, 3, 3, 3)).astype(np.float32),
    }
    model = parse(f"g (float[N,3,4,4] x) => (float[M,2,H,W] y) {{ p = {pad} y = {conv} (p, w) }}", weights)
    outcome = apply(SimplifyLayout(), model, X)
    assert (operators(outcome.model) == ["Conv"]) == (not reason)
    assert reason in texts(outcome)


def test_a_pad_that_something_else_reads_stays(apply, parse, texts):
    weights = {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "w": np.ones((3, 3, 3, 3), np.float32)}
    model = parse(
        "g (float[N,3,4,4] x) => (float[N,3,4,4] y, float[N,3,6,6] z) { z = Pad (x, p) y = Conv (z, w) }", weights
    )
    outcome = apply(SimplifyLayout(), model, X)
    assert outcome.changed == 0
    assert "read elsewhere too" in texts(outcome)
