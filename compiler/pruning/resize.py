"""A narrower module's ONNX form, made from the full one's by exchanging weights: an export takes seconds, this none.

It holds where nothing but weights knows the widths. A size that is written into the graph (a Reshape's target, a
Split's parts) stands in the way, and so does a weight that is not found; then there is no answer, and the module must
be exported. What comes out has the right sizes everywhere; folded constants have old values, cut to length, so it is
good for timing and for nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
import onnx_ir as ir

from edgewright.compiler.opset import light_proto
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

_SIZED = frozenset({"Expand", "Pad", "Range", "Reshape", "Resize", "Slice", "Split", "Tile", "ConstantOfShape"})
"""Operators that take sizes or places as numbers."""


def resized(template: OnnxModel, before: Mapping[str, Array], after: Mapping[str, Array]) -> OnnxModel | None:
    """``template`` with the weights ``after`` where they differ in shape from ``before``; None where that cannot be.

    Args:
        template: the ONNX form of the module whose tensors ``before`` are, by the module's names.
    """
    changed = {name for name, tensor in after.items() if name not in before or tensor.shape != before[name].shape}
    if changed - before.keys() or before.keys() - after.keys():
        return None
    model = template.copy()
    graph = model.ir.graph
    replaced = _replace(graph, before, after, changed)
    if any(after[name].ndim > 1 for name in changed - replaced.keys()):
        return None
    sizes = {
        old for name in changed for old, new in zip(before[name].shape, after[name].shape, strict=True) if old != new
    }
    touched = set(replaced.values())
    for node in graph.all_nodes():
        if (node.op_type in ("Conv", "ConvTranspose") and not _fit_convolution(node, touched, template)) or (
            node.op_type in _SIZED and _states_size(node, sizes)
        ):
            return None
        for value in node.outputs:
            if not value.is_graph_output():
                value.shape = None
    return model if _consistent(model) else None


def _replace(
    graph: ir.Graph, before: Mapping[str, Array], after: Mapping[str, Array], changed: set[str]
) -> dict[str, str]:
    """Exchanges what is found by its name or by its content, turned or not; module's name -> initializer's."""
    replaced: dict[str, str] = {}
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None:
            continue
        if name in changed and tuple(tensor.shape.numpy()) == before[name].shape:
            replaced[name] = name
            _set(value, after[name])
        elif name not in before and len(tensor.shape) == 2:
            for source in sorted(changed):
                turned = _same(tensor, before[source])
                if turned is not None:
                    replaced[source] = name
                    _set(value, after[source].T if turned else after[source])
                    break
    return replaced


def _same(tensor: ir.TensorProtocol, own: Array) -> bool | None:
    """Whether ``own`` is in ``tensor`` turned; None where it is not in it at all."""
    shape = tuple(tensor.shape.numpy())
    if own.ndim != 2 or shape not in (own.shape, own.shape[::-1]):
        return None
    values = tensor.numpy()
    if shape == own.shape and np.array_equal(values, own):
        return False
    return True if shape == own.shape[::-1] and np.array_equal(values, own.T) else None


def _set(value: ir.Value, tensor: Array) -> None:
    value.const_value = ir.tensor(np.ascontiguousarray(tensor), name=value.name)
    value.shape = ir.Shape(tensor.shape)


def _fit_convolution(node: ir.Node, touched: set[str], template: OnnxModel) -> bool:
    """Brings the groups and the folded bias of a convolution in line with its weight; False where that cannot be."""
    weight = node.inputs[1]
    if weight is None or weight.const_value is None or weight.name not in touched:
        return True
    old = template.ir.graph.initializers[str(weight.name)].const_value
    assert old is not None
    was, now = tuple(old.shape.numpy()), tuple(weight.const_value.shape.numpy())
    groups = node.attributes.get_int("group", 1)
    if groups > 1:
        if was[1] != now[1] or groups * now[0] % was[0]:
            return False
        groups = groups * now[0] // was[0]
        node.attributes["group"] = ir.AttrInt64("group", groups)
    outputs = now[0] if node.op_type == "Conv" else now[1] * groups
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is None or bias.const_value is None:
        return bias is None
    if bias.const_value.size != outputs:
        values = bias.const_value.numpy()
        if len(values) < outputs or len(bias.uses()) > 1:
            return False
        _set(bias, values[:outputs])
    return True


def _states_size(node: ir.Node, sizes: set[int]) -> bool:
    """Whether a constant of ``node`` has one of ``sizes`` in it, by itself or as the product of neighbours."""
    for value in node.inputs[1:]:
        constant = None if value is None else ir.convenience.get_const_tensor(value)
        if constant is not None and constant.dtype in (ir.DataType.INT64, ir.DataType.INT32):
            numbers = [int(number) for number in constant.numpy().reshape(-1)]
            if any(product in sizes for product in _products(numbers)):
                return True
    return False


def _products(numbers: list[int]) -> Iterator[int]:
    for start in range(len(numbers)):
        product = 1
        for number in numbers[start:]:
            product *= number
            if product <= 0:
                break
            yield product


def _consistent(model: OnnxModel) -> bool:
    with light_proto(model.ir) as (proto, _):
        try:
            onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True)
        except Exception:  # noqa: BLE001 - the C++ inference raises kinds of its own; any says that sizes do not fit
            return False
    return True
