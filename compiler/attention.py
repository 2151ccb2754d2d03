"""Recognises multi-head attention in the nodes exporters write for it."""

from __future__ import annotations

from dataclasses import dataclass

import onnx_ir as ir

from edgewright.compiler.graphs import (
    dims,
    input_at,
    int_attribute,
    integers,
    ints_attribute,
    is_standard,
    rank,
    sole_consumer,
)
from edgewright.compiler.products import product_of


@dataclass(frozen=True)
class Attention:
    """``output (B, S, heads * size)`` is attention of ``query (B, S, ...)`` to ``key`` and ``value (B, T, ...)``."""

    query: ir.Value
    key: ir.Value
    value: ir.Value
    mask: ir.Value | None
    """Added to the scores; broadcasts to ``(B, heads, S, T)``."""
    heads: int
    scale: float
    output: ir.Value
    width: int
    """``heads * size`` of the result."""


@dataclass(frozen=True)
class _Heads:
    """A tensor split into heads: the ``(B, S, heads * size)`` tensor it came from."""

    source: ir.Value
    heads: int
    size: int


def attention_of(softmax: ir.Node) -> Attention | str:
    """The attention around ``softmax``; why it is none, or nothing when it does not look like one at all."""
    scores = softmax.inputs[0]
    context = sole_consumer(softmax.outputs[0])
    if scores is None or context is None or not is_standard(context, "MatMul"):
        return ""
    if context.inputs[0] is not softmax.outputs[0]:
        return ""
    size = rank(scores) or rank(softmax.outputs[0])
    if int_attribute(softmax, "axis", -1) not in {-1, (size or 4) - 1}:
        return "the softmax does not run along the keys"
    mask, scaled = _mask_and_scores(scores, softmax)
    product = product_of(scaled)
    if len(product.factors) != 1:
        return ""
    matmul = product.factors[0].producer()
    if matmul is None or not is_standard(matmul, "MatMul"):
        return ""
    output = _joined(context)
    if isinstance(output, str):
        return output
    query, query_scale = _split(matmul.inputs[0], transposed=False)
    key, key_scale = _split(matmul.inputs[1], transposed=True)
    value, value_scale = _split(context.inputs[1], transposed=False)
    if query is None or key is None or value is None or value_scale != 1:
        return "query, key or value are not tensors split into heads by Reshape and Transpose"
    merged, width = output
    if query.heads != key.heads or value.heads != key.heads or query.size != key.size:
        return "query, key and value have different numbers of heads"
    if width not in {-1, value.heads * value.size}:
        return "the result is not joined to the width of all heads"
    if any(item.source.dtype not in {ir.DataType.FLOAT, ir.DataType.FLOAT16} for item in (query, key, value)):
        return f"it computes in {query.source.dtype}"
    if mask is not None and (problem := _mask_problem(mask, query.heads)):
        return problem
    scale = product.constant * query_scale * key_scale
    return Attention(query.source, key.source, value.source, mask, query.heads, scale, merged, value.heads * value.size)


def _mask_and_scores(scores: ir.Value, softmax: ir.Node) -> tuple[ir.Value | None, ir.Value]:
    """What is added to the scores, and the scores; a sum that something else reads is taken for the scores."""
    node = scores.producer()
    if node is None or not is_standard(node, "Add") or sole_consumer(scores) is not softmax:
        return None, scores
    for one, two in (node.inputs[:2], node.inputs[1::-1]):
        if one is None or two is None or sole_consumer(one) is not node:
            continue
        factors = product_of(one).factors
        if len(factors) == 1 and is_standard(factors[0].producer(), "MatMul"):
            return two, one
    return None, scores


def _mask_problem(mask: ir.Value, heads: int) -> str:
    sizes = dims(mask)
    if sizes is None or not 2 <= len(sizes) <= 4:
        return "the shape of the mask is not known"
    if sizes[-1] == 1:
        return "the mask has one column for all keys"
    if len(sizes) > 2 and sizes[-3] not in {1, heads}:
        return "the mask has another number of heads"
    if mask.dtype not in {ir.DataType.FLOAT, ir.DataType.FLOAT16}:
        return f"the mask is {mask.dtype}"
    return ""


def _split(value: ir.Value | None, *, transposed: bool) -> tuple[_Heads | None, float]:
    """The tensor behind ``(B, heads, S, size)``, or ``(B, heads, size, S)`` when ``transposed``, and its scale."""
    if value is None:
        return None, 1.0
    product = product_of(value)
    node = product.factors[0].producer() if len(product.factors) == 1 else None
    if node is None or not is_standard(node, "Transpose"):
        return None, 1.0
    perm = ints_attribute(node, "perm")
    source = node.inputs[0]
    scale = product.constant
    if transposed and perm == [0, 1, 3, 2] and source is not None:
        inner = product_of(source)
        node = inner.factors[0].producer() if len(inner.factors) == 1 else None
        if node is None or not is_standard(node, "Transpose"):
            return None, 1.0
        perm, source, scale = ints_attribute(node, "perm"), node.inputs[0], scale * inner.constant
        transposed = False
    if perm != ([0, 2, 3, 1] if transposed else [0, 2, 1, 3]):
        return None, 1.0
    reshape = None if source is None else source.producer()
    if source is None or reshape is None or not is_standard(reshape, "Reshape") or reshape.inputs[0] is None:
        return None, 1.0
    shape, origin = integers(input_at(reshape, 1)), reshape.inputs[0]
    if shape is None or len(shape) != 4 or min(shape[2:]) < 1 or rank(origin) != 3:
        return None, 1.0
    return (_Heads(origin, shape[2], shape[3]), scale) if _keeps_two(shape, origin, source) else (None, 1.0)


def _joined(context: ir.Node) -> tuple[ir.Value, int] | str:
    """The ``(B, S, heads * size)`` result behind the context, and its width as the Reshape states it."""
    miss = "the result is not joined by Transpose and Reshape"
    transpose = sole_consumer(context.outputs[0])
    if transpose is None or not is_standard(transpose, "Transpose"):
        return miss
    if ints_attribute(transpose, "perm") != [0, 2, 1, 3]:
        return miss
    reshape = sole_consumer(transpose.outputs[0])
    if reshape is None or not is_standard(reshape, "Reshape"):
        return miss
    shape = integers(input_at(reshape, 1))
    if shape is None or len(shape) != 3:
        return miss
    return (reshape.outputs[0], shape[2]) if _keeps_two(shape, transpose.outputs[0], reshape.outputs[0]) else miss


def _keeps_two(shape: list[int], before: ir.Value, after: ir.Value) -> bool:
    """Whether a Reshape to ``shape`` leaves the first two sizes as they are."""
    if shape[0] == 0 and shape[1] in {0, -1} and (shape[1] == 0 or min(shape[2:]) > 0):
        return True
    old, new = dims(before), dims(after)
    return old is not None and new is not None and old[:2] == new[:2] and None not in old[:2]
