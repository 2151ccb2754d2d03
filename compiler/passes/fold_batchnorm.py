r"""Folds BatchNormalization, and multiplication or addition of per-channel constants, into the layer beside it.

In inference a BatchNormalization is affine per channel: ``bn(y)[c] = s[c] * y[c] + t[c]`` with
``s = scale / sqrt(var + epsilon)`` and ``t = bias - s * mean``. So are ``Mul`` (``t = 0``), ``Add`` (``s = 1``),
``Sub`` and ``Div`` by constants that are one per channel.

Behind a linear layer ``y = W x + b`` with output channel ``c``:
    s * (W x + b) + t  =  (s * W) x + (s * b + t)
holds for Conv, ConvTranspose, Gemm (``alpha`` and ``beta`` included) and MatMul by a constant, whatever the padding. A
MatMul takes the shift in an Add behind it.

Before a linear layer, with input channel ``i``:
    W (s * x + t) + b  =  (W * s) x + (b + sum_i W[:, i] t[i])
holds for Gemm, and for Conv only without padding: the zeros of a padded border are not ``t``. Where ``t`` is zero
padding does no harm.

The weight of a layer that another layer reads too is copied, never changed in place. Computed in float64, stored in the
weight's own type.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewright.compiler.channel_affine import Affine, Vector, WeightLayout
from edgewright.compiler.graphs import (
    constant,
    constant_tensor,
    float_attribute,
    input_at,
    int_attribute,
    ints_attribute,
    is_standard,
    rank,
    sole_consumer,
    text_attribute,
    uses_any,
)
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

_LINEAR = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_AFFINE = ("BatchNormalization", "Mul", "Add", "Sub", "Div")
_FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
_LARGEST_PARAMETER = 1 << 20
"""Per-channel constants have no more elements than this; anything larger is not even read."""


class FoldBatchnorm(Pass[OnnxModel, OnnxModel]):
    """Folds BatchNormalization and per-channel Mul and Add into Conv, ConvTranspose, Gemm and MatMul."""

    name: ClassVar[str] = "fold-batchnorm"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FOLD
    order: ClassVar[int] = 20
    tolerance: ClassVar[float] = 1e-3
    """Sums are rounded differently: deep float32 networks move by some 1e-5 of their largest value."""

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with fewer normalisations."""
        del site
        if not uses_any(model, "BatchNormalization") and not (uses_any(model, *_LINEAR) and uses_any(model, *_AFFINE)):
            return Outcome(model, 0)
        work = Rewriting(model)
        before = -1
        while work.changed != before:  # what one fold leaves may stand beside a layer now
            before = work.changed
            for node in work.nodes(*_AFFINE):
                if node.graph is not None and not _fold_behind(work, node):
                    _fold_before(work, node)
        work.drop_unused()
        return work.outcome()


def _fold_behind(work: Rewriting, node: ir.Node) -> bool:
    """linear -> affine: into the linear layer's own weight and bias."""
    linear = _linear_before(node)
    if linear is None:
        return False
    affine = _affine(work, node, _output_axis(linear), _rank_of(linear, linear.outputs[0]))
    if affine is None or affine.source is not linear.outputs[0]:
        return False
    norm = node.op_type
    label = f"{linear.op_type} + {norm}"
    if linear.op_type == "MatMul" and (norm in {"Add", "Sub"} or constant_tensor(linear.inputs[1]) is None):
        return False  # already as simple as it gets, or a product of two activations
    if norm == "Add" and affine.shift.size == 1 and _feeds_a_clip(node):
        return False  # the +3 of a hard-swish: fuse-activations knows better
    reader = sole_consumer(affine.source)
    if reader is not node:
        return _miss(work, node, f"{label} was not folded: the layer's result is read elsewhere too")
    weight = _weight(linear)
    if weight is None:
        return _miss(work, node, f"{label} was not folded: the layer's weight is not a floating-point constant")
    layout = WeightLayout.of(linear, weight)
    if layout is None:
        return _miss(work, node, f"{label} was not folded: the layer's form is not one of those the algebra covers")
    spread = affine.spread(layout.out_channels)
    if spread is None:
        return _miss(work, node, f"{label} was not folded: the constants are not one per output channel")
    scale, shift = spread
    bias = _bias(linear, layout)
    if bias is None:
        return _miss(work, node, f"{label} was not folded: the layer's bias is not a constant")
    new_weight = layout.scaled_out(weight, scale)
    new_bias = scale * bias + shift
    if not _representable(new_weight, weight) or not _representable(new_bias, weight):
        return _miss(work, node, f"{label} was not folded: a folded weight would not be finite")
    result = _write(work, linear, node, new_weight, new_bias)
    work.redirect(node.outputs[0], result)
    work.did("graph", f"folded {norm} into the {linear.op_type} before it")
    work.drop_unused()
    return True


def _fold_before(work: Rewriting, node: ir.Node) -> bool:
    """affine -> linear: into the weight's input channels, where padding does not forbid it."""
    linear = sole_consumer(node.outputs[0])
    if linear is None or not is_standard(linear, "Conv", "Gemm") or linear.inputs[0] is not node.outputs[0]:
        if node.op_type == "BatchNormalization":
            _miss(work, node, "BatchNormalization was kept: no layer beside it can take it in")
        return False
    affine = _affine(work, node, 1, _rank_of(linear, node.outputs[0]))
    if affine is None:
        return False
    weight = _weight(linear)
    label = f"{node.op_type} + {linear.op_type}"
    if weight is None:
        return _miss(work, node, f"{label} was not folded: the layer's weight is not a floating-point constant")
    if len(list(node.outputs[0].uses())) != 1:
        return _miss(work, node, f"{label} was not folded: the layer reads the result twice")
    layout = WeightLayout.of(linear, weight)
    if layout is None or int_attribute(linear, "transA", 0):
        return _miss(work, node, f"{label} was not folded: the layer's form is not one of those the algebra covers")
    spread = affine.spread(layout.in_channels)
    if spread is None:
        return _miss(work, node, f"{label} was not folded: the constants are not one per input channel")
    scale, shift = spread
    if shift.any() and linear.op_type == "Conv" and _pads(linear):
        return _miss(work, node, f"{label} was not folded: the layer pads with zeros, which are not the shift")
    bias = _bias(linear, layout)
    if bias is None:
        return _miss(work, node, f"{label} was not folded: the layer's bias is not a constant")
    new_weight = layout.scaled_in(weight, scale)
    new_bias = bias + layout.shifted(weight, shift)
    if not _representable(new_weight, weight) or not _representable(new_bias, weight):
        return _miss(work, node, f"{label} was not folded: a folded weight would not be finite")
    linear.replace_input_with(0, affine.source)
    result = _write(work, linear, linear, new_weight, new_bias)
    work.orphan(node.outputs[0])
    work.redirect(linear.outputs[0], result)
    work.did("graph", f"folded {node.op_type} into the {linear.op_type} behind it")
    work.drop_unused()
    return True


def _miss(work: Rewriting, node: ir.Node, text: str) -> bool:
    work.skipped(node.name, text)
    return False


def _feeds_a_clip(node: ir.Node) -> bool:
    reader = sole_consumer(node.outputs[0])
    return reader is not None and is_standard(reader, "Clip", "Relu", "Min")


def _linear_before(node: ir.Node) -> ir.Node | None:
    for value in node.inputs[:2]:
        maker = None if value is None else value.producer()
        if maker is not None and is_standard(maker, *_LINEAR):
            return maker
    return None


def _output_axis(linear: ir.Node) -> int:
    """The axis of the output channels: 1 for images and rows, the last for what a MatMul makes."""
    return -1 if linear.op_type == "MatMul" else 1


def _rank_of(linear: ir.Node, value: ir.Value) -> int | None:
    if linear.op_type == "Gemm":
        return 2
    if linear.op_type in {"Conv", "ConvTranspose"}:
        return rank(linear.inputs[1]) or rank(value)
    return rank(value)


def _affine(work: Rewriting, node: ir.Node, axis: int, known_rank: int | None) -> Affine | None:
    """What ``node`` does per channel along ``axis``, or None when it is something else."""
    if node.op_type == "BatchNormalization":
        if axis == -1 and known_rank != 2:
            return None  # it normalises axis 1, and that is not the last one
        return _normalisation(work, node)
    first, second = node.inputs[0], node.inputs[1]
    assert first is not None
    assert second is not None
    if constant_tensor(second) is None:
        if node.op_type in {"Sub", "Div"}:
            return None
        first, second = second, first
    array = constant(second, largest=_LARGEST_PARAMETER)
    if array is None or constant_tensor(first) is not None or array.dtype.kind not in "fV":
        return None
    values = _per_channel(array, axis, known_rank)
    if values is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type in {"Mul", "Div"}:
        if node.op_type == "Div" and not values.all():
            return None
        return Affine(values if node.op_type == "Mul" else 1 / values, zero, first)
    return Affine(one, values if node.op_type == "Add" else -values, first)


def _normalisation(work: Rewriting, node: ir.Node) -> Affine | None:
    others = node.outputs[1:]
    if int_attribute(node, "training_mode", 0) or any(
        out.name and (out.uses() or out.is_graph_output()) for out in others
    ):
        work.skipped(node.name, "BatchNormalization was kept: it is in training mode")
        return None
    if int_attribute(node, "spatial", 1) != 1:
        work.skipped(node.name, "BatchNormalization was kept: it normalises each position by itself (spatial=0)")
        return None
    arrays = [constant(input_at(node, index), largest=_LARGEST_PARAMETER) for index in range(1, 5)]
    if any(array is None for array in arrays):
        work.skipped(node.name, "BatchNormalization was kept: its parameters are not constants")
        return None
    scale, bias, mean, variance = (np.asarray(array, dtype=np.float64) for array in arrays)
    deviation = np.sqrt(variance + float_attribute(node, "epsilon", 1e-5))
    if not np.all(deviation > 0):
        work.skipped(node.name, "BatchNormalization was kept: its variance is not positive")
        return None
    factor = scale / deviation
    source = node.inputs[0]
    assert source is not None
    return Affine(factor, bias - factor * mean, source)


def _per_channel(array: Array, axis: int, known_rank: int | None) -> Vector | None:
    """A constant as a vector along ``axis``, or None when it varies along another or adds dimensions."""
    wide = np.asarray(array, np.float64)
    if array.ndim == 0:
        return wide.reshape(1)
    if known_rank is None or array.ndim > known_rank:
        return None
    padded = (1,) * (known_rank - array.ndim) + array.shape
    if any(size != 1 for index, size in enumerate(padded) if index != axis % known_rank):
        return None
    return wide.reshape(-1)


def _weight(linear: ir.Node) -> Array | None:
    tensor = constant_tensor(input_at(linear, 1))
    return None if tensor is None or tensor.dtype not in _FLOATS else np.asarray(tensor.numpy())


def _bias(linear: ir.Node, layout: WeightLayout) -> Vector | None:
    value = input_at(linear, 2) if linear.op_type != "MatMul" else None
    if value is None:
        return np.zeros(layout.out_channels)
    array = constant(value, largest=_LARGEST_PARAMETER)
    if (
        array is None
        or array.size not in {1, layout.out_channels}
        or (array.ndim > 1 and array.shape[-1] != array.size)
    ):
        return None
    return np.broadcast_to(layout.beta * array.astype(np.float64).reshape(-1), (layout.out_channels,))


def _pads(conv: ir.Node) -> bool:
    automatic = text_attribute(conv, "auto_pad", "NOTSET")
    return automatic in {"SAME_UPPER", "SAME_LOWER"} or (
        automatic == "NOTSET" and any(ints_attribute(conv, "pads") or ())
    )


def _representable(new: Vector, old: Array) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(new.astype(old.dtype).astype(np.float64)).all())


def _write(work: Rewriting, linear: ir.Node, last: ir.Node, weight: Vector, bias: Vector) -> ir.Value:
    """Puts the folded layer before ``last`` and returns its output, or that of an Add behind a MatMul."""
    value, old = linear.inputs[1], _weight(linear)
    assert value is not None
    assert old is not None
    dtype = value.dtype
    # Copies: another layer may read the old ones.
    new_weight = work.constant(linear, f"{value.name}.folded", weight.astype(old.dtype), dtype)
    attributes = [attribute for key, attribute in linear.attributes.items() if key not in {"alpha", "beta"}]
    inputs: list[ir.Value | None] = [linear.inputs[0], new_weight]
    old_bias = input_at(linear, 2)
    with_bias = linear.op_type != "MatMul" and (old_bias is not None or bool(bias.any()) or linear.op_type == "Gemm")
    if with_bias:
        hint = old_bias.name if old_bias is not None else f"{value.name}.bias"
        inputs.append(work.constant(linear, f"{hint}.folded", bias.astype(old.dtype), dtype))
    output = work.insert(
        last, linear.op_type, inputs, attributes, hint=linear.name or linear.op_type, like=last.outputs[0]
    )
    if linear.op_type == "MatMul" and bias.any():
        shift = work.constant(linear, f"{value.name}.shift", bias.astype(old.dtype), dtype)
        output = work.insert(last, "Add", [output, shift], hint=last.name or "shift", like=last.outputs[0])
    return output
