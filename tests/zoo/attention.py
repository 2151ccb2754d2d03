"""Attention, embeddings and masks."""

from __future__ import annotations

import numpy as np

from .case import Case, member
from .graph import Graph, classifier, head, images, tokens


def layer_norm(g: Graph, x: str, width: int) -> str:
    return g.op(
        "LayerNormalization",
        x,
        g.weight(g.rng.uniform(0.8, 1.2, width)),
        g.weight(g.rng.uniform(-0.1, 0.1, width)),
        axis=-1,
    )


def gelu(g: Graph, x: str) -> str:
    erf = g.op("Erf", g.op("Mul", x, g.weight(np.sqrt(0.5))))
    return g.op("Mul", g.op("Mul", x, g.op("Add", erf, g.weight(1.0))), g.weight(0.5))


@member
def vision_transformer() -> Case:
    """Patches by Conv, a class token by Expand and Concat, attention by Einsum, LayerNorm, GELU."""
    g = Graph("vit", 11)
    width, heads, size = 48, 4, 12
    x = g.conv(g.input("x", ["N", 3, 24, 24]), 3, width, (6, 6), strides=[6, 6], pads=[0, 0, 0, 0])
    x = g.op("Transpose", g.op("Reshape", x, g.weight([0, width, 16])), perm=[0, 2, 1])
    batch = g.op("Shape", x, start=0, end=1)
    token = g.op("Expand", g.weight(g.random(1, 1, width)), g.op("Concat", batch, g.weight([1, width]), axis=0))
    x = g.op("Add", g.op("Concat", token, x, axis=1), g.weight(0.1 * g.random(1, 17, width)))
    for _ in range(2):
        y = layer_norm(g, x, width)
        q, k, v = (
            g.op("Reshape", g.dense(y, width, width, matmul=True), g.weight([0, 17, heads, size])) for _ in range(3)
        )
        weights = g.op("Mul", g.op("Einsum", q, k, equation="bqhd,bkhd->bhqk"), g.weight(size**-0.5))
        mixed = g.op("Einsum", g.op("Softmax", weights, axis=-1), v, equation="bhqk,bkhd->bqhd")
        x = g.op("Add", x, g.dense(g.op("Reshape", mixed, g.weight([0, 17, width])), width, width, matmul=True))
        x = g.op(
            "Add", x, g.dense(gelu(g, g.dense(layer_norm(g, x, width), width, 96, matmul=True)), 96, width, matmul=True)
        )
    features = g.op("Gather", layer_norm(g, x, width), g.weight(np.array(0)), axis=1)
    g.output(head(g, features, width, 4), ["N", 4])
    return classifier(g.model(), images(3, 24, 24, 4, noise=0.6, seed=11), features)


def _encoder(g: Graph, ids: str, mask: str, *, fill: float, width: int = 48, heads: int = 4) -> str:
    size = width // heads
    x = layer_norm(g, g.op("Gather", g.weight(g.random(90, width, fan_in=2)), ids), width)
    allowed = g.op("Unsqueeze", g.op("Cast", mask, to=9), g.weight([1, 2]))
    for _ in range(2):
        split = [
            g.op("Reshape", g.dense(x, width, width, matmul=True), g.weight([0, 0, heads, size])) for _ in range(3)
        ]
        q, k, v = (
            g.op("Transpose", one, perm=perm)
            for one, perm in zip(split, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        )
        scores = g.op("Div", g.op("MatMul", q, k), g.weight(np.sqrt(size)))
        scores = g.op("Where", allowed, scores, g.weight(np.float32(fill)))
        mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        mixed = g.op("Reshape", mixed, g.weight([0, 0, width]))
        x = layer_norm(g, g.op("Add", x, g.dense(mixed, width, width, matmul=True)), width)
        x = layer_norm(
            g, g.op("Add", x, g.dense(gelu(g, g.dense(x, width, 96, matmul=True)), 96, width, matmul=True)), width
        )
    return x


def _mean_of_words(g: Graph, x: str, mask: str) -> str:
    weights = g.op("Unsqueeze", g.op("Cast", mask, to=1), g.weight([2]))
    total = g.op("ReduceSum", g.op("Mul", x, weights), g.weight([1]), keepdims=0)
    return g.op("Div", total, g.op("Max", g.op("ReduceSum", weights, g.weight([1]), keepdims=0), g.weight(1e-6)))


@member
def bert_masked_by_infinity() -> Case:
    """Embedding by Gather, Where(mask, scores, -inf), masked mean; batch and length dynamic."""
    g = Graph("bert", 12)
    ids, mask = (g.input(name, ["N", "T"], "int64") for name in ("ids", "mask"))
    features = _mean_of_words(g, _encoder(g, ids, mask, fill=-np.inf), mask)
    g.output(head(g, features, 48, 4), ["N", 4])
    return classifier(g.model(), tokens(20, 90, 4), features)


@member
def bert_masked_by_addition() -> Case:
    """The mask as (1 - mask) * -3.4e38 added to the scores; output a softmax."""
    g = Graph("bert_added", 13)
    ids, mask = (g.input(name, ["N", 20], "int64") for name in ("ids", "mask"))
    width = 48
    x = layer_norm(g, g.op("Gather", g.weight(g.random(90, width, fan_in=2)), ids), width)
    inverted = g.op("Sub", g.weight(1.0), g.op("Cast", mask, to=1))
    bias = g.op("Unsqueeze", g.op("Mul", inverted, g.weight(np.float32(np.finfo(np.float32).min))), g.weight([1]))
    q, k, v = (g.dense(x, width, width, matmul=True) for _ in range(3))
    scores = g.op("MatMul", g.op("Mul", q, g.weight(width**-0.5)), g.op("Transpose", k, perm=[0, 2, 1]))
    mixed = g.op("MatMul", g.op("Softmax", g.op("Add", scores, bias), axis=-1), v)
    x = layer_norm(g, g.op("Add", x, g.dense(mixed, width, width, matmul=True)), width)
    features = _mean_of_words(g, g.op("Relu", g.dense(x, width, 64, matmul=True)), mask)
    g.output(g.op("Softmax", head(g, features, 64, 4), axis=-1), ["N", 4])
    return classifier(g.model(), tokens(20, 90, 4, seed=1), features)


@member
def tied_embedding() -> Case:
    """One matrix is both the embedding and, transposed, the last layer; CumSum makes positions; Where masks."""
    g = Graph("tied", 14)
    ids = g.input("ids", ["N", 20], "int64")
    mask = g.input("mask", ["N", 20], "int64")
    table = g.weight(g.random(90, 48, fan_in=4), "table")
    position = g.op("CumSum", mask, g.weight(np.array(1)))
    x = g.op("Add", g.op("Gather", table, ids), g.op("Gather", g.weight(0.2 * g.random(32, 48, fan_in=2)), position))
    x = g.op("Relu", g.dense(g.op("Relu", g.dense(x, 48, 64, matmul=True)), 64, 48, matmul=True))
    keep = g.op("Unsqueeze", g.op("Greater", mask, g.weight([0])), g.weight([2]))
    features = g.op("ReduceMean", g.op("Where", keep, x, g.weight(0.0)), axes=[1], keepdims=0)
    g.output(head(g, features, 48, 4), ["N", 4])
    words = g.op("MatMul", x, g.op("Transpose", table, perm=[1, 0]))
    best, place = g.ops("TopK", g.op("ReduceMean", words, axes=[1], keepdims=0), g.weight([5]), count=2)
    g.output(best, ["N", 5])
    g.output(place, ["N", 5], "int64")
    return classifier(g.model(), tokens(20, 90, 4, seed=2), features)
