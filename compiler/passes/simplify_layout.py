"""Removes data movement that cancels out or moves nothing.

1. Nodes that return their input: Transpose by the identity, Reshape, Flatten or Expand to the same shape, Slice of
   everything, Cast to the same type, Pad by nothing, Tile by one, Concat of one.
2. Pairs: Transpose of a Transpose becomes one Transpose or none; Squeeze of an Unsqueeze along the same axes, and the
   other way round, becomes nothing.
3. A Reshape reads through whatever only reshaped before it (Reshape, Flatten, Squeeze, Unsqueeze).
4. A Reshape to a shape that is computed gets a constant one, where sizes are known or copied from the input but for
   one: the arithmetic on shapes then has no reader.
5. Pad with zeros moves into the Conv behind it.

Quantised values pass through like any other: nothing here looks past a QuantizeLinear or DequantizeLinear.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from edgewright.compiler.graphs import (
    dims,
    input_at,
    int_attribute,
    integers,
    ints_attribute,
    is_standard,
    rank,
    same_shape,
    scalar,
    sole_consumer,
    text_attribute,
)
from edgewright.compiler.pass_base import Effect, Outcome, Pass, Stage
from edgewright.compiler.rewriting import Rewriting
from edgewright.compiler.site import Site
from edgewright.core.model import OnnxModel

_RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
_RESHAPE_INPUT_OPSET = 5
_TO_THE_END = (1 << 31) - 1
"""Slices that end here or later run to the end of any tensor there is."""


class SimplifyLayout(Pass[OnnxModel, OnnxModel]):
    """Cancels transposes, reshapes, slices, casts and pads that have no effect."""

    name: ClassVar[str] = "simplify-layout"
    effect: ClassVar[Effect] = Effect.EXACT
    stage: ClassVar[Stage] = Stage.FOLD
    order: ClassVar[int] = 30

    def __call__(self, model: OnnxModel, site: Site) -> Outcome[OnnxModel]:
        """The same computation with less movement."""
        del site
        work = Rewriting(model)
        before = -1
        while work.changed != before:  # what one rewrite leaves is often the next one's pattern
            before = work.changed
            for node in work.nodes(*_NO_EFFECT, "Transpose", *_RESHAPES):
                if node.graph is not None:
                    _simplify(work, node)
        for node in work.nodes("Pad"):
            _pad_into_conv(work, node)
        return work.outcome()


def _simplify(work: Rewriting, node: ir.Node) -> None:
    source = node.inputs[0]
    output = node.outputs[0]
    if source is None:
        return
    test = _NO_EFFECT.get(node.op_type)
    if test is not None and test(node, source, output):
        _bypass(work, node, source, f"removed {node.op_type} nodes that do nothing")
    elif node.op_type == "Transpose":
        _merge_transposes(work, node, source)
    elif node.op_type in {"Squeeze", "Unsqueeze"}:
        _cancel_squeeze(work, node, source)
    elif node.op_type == "Reshape":
        _read_through(work, node, source)


def _bypass(work: Rewriting, node: ir.Node, source: ir.Value, text: str) -> None:
    if node.outputs[0].is_graph_output():
        maker = source.producer()
        if maker is None or maker.graph is not node.graph or source.is_graph_output():
            return  # an Identity would have to stand where it stood
    work.redirect(node.outputs[0], source)
    work.did("graph", text)
    work.drop_unused()


def _merge_transposes(work: Rewriting, node: ir.Node, source: ir.Value) -> None:
    first = source.producer()
    if not is_standard(first, "Transpose") or first is None:
        return
    inner, outer = ints_attribute(first, "perm"), ints_attribute(node, "perm")
    origin = first.inputs[0]
    if inner is None or outer is None or len(inner) != len(outer) or origin is None:
        return
    perm = [inner[axis] for axis in outer]
    if perm == sorted(perm):
        _bypass(work, node, origin, "cancelled pairs of Transpose")
        return
    merged = work.insert(node, "Transpose", [origin], {"perm": perm}, like=node.outputs[0])
    work.redirect(node.outputs[0], merged)
    work.did("graph", "merged pairs of Transpose")
    work.drop_unused()


def _cancel_squeeze(work: Rewriting, node: ir.Node, source: ir.Value) -> None:
    first = source.producer()
    opposite = "Unsqueeze" if node.op_type == "Squeeze" else "Squeeze"
    if first is None or not is_standard(first, opposite):
        return
    origin = first.inputs[0]
    # Both count their axes in the larger of the two shapes.
    large = rank(source) if node.op_type == "Squeeze" else rank(origin)
    one, two = _axes(first, large), _axes(node, large)
    if origin is not None and one is not None and one == two:
        _bypass(work, node, origin, f"cancelled pairs of {opposite} and {node.op_type}")


def _axes(node: ir.Node, size: int | None) -> list[int] | None:
    axes = ints_attribute(node, "axes") or integers(input_at(node, 1))
    if axes is None or (size is None and min(axes, default=0) < 0):
        return None
    return sorted(axis if axis >= 0 else axis + (size or 0) for axis in axes)


def _read_through(work: Rewriting, node: ir.Node, source: ir.Value) -> None:
    first = source.producer()
    shape = integers(input_at(node, 1))
    if shape is None:
        _write_shape(work, node, source)
        return
    if first is None or not is_standard(first, *_RESHAPES) or first.inputs[0] is None:
        return
    if 0 in shape and not _zeros_agree(shape, source, first.inputs[0]):
        return  # a zero copies a size of what is read
    node.replace_input_with(0, first.inputs[0])
    work.orphan(source)
    work.did("graph", f"made Reshape read through {first.op_type}")
    work.drop_unused()


def _write_shape(work: Rewriting, node: ir.Node, source: ir.Value) -> None:
    have, want = dims(source), dims(node.outputs[0])
    if have is None or want is None or 0 in want or work.opset < _RESHAPE_INPUT_OPSET:
        return
    shape = [
        size if isinstance(size, int) else 0 if size is not None and axis < len(have) and have[axis] == size else -1
        for axis, size in enumerate(want)
    ]
    if shape.count(-1) > 1:
        return
    old = node.inputs[1]
    # A zero means "as in the input" only without allowzero.
    node.attributes.pop("allowzero", None)
    node.replace_input_with(1, work.constant(node, f"{node.name or 'reshape'}.shape", np.array(shape, dtype=np.int64)))
    work.orphan(old)
    work.did("graph", "gave Reshape a constant shape instead of a computed one")
    work.drop_unused()


def _zeros_agree(shape: list[int], source: ir.Value, origin: ir.Value) -> bool:
    one, two = dims(source), dims(origin)
    if one is None or two is None:
        return False
    return all(
        axis < min(len(one), len(two)) and one[axis] is not None and one[axis] == two[axis]
        for axis, size in enumerate(shape)
        if size == 0
    )


def _transposes_nothing(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    del source, output
    perm = ints_attribute(node, "perm")
    return perm is not None and perm == sorted(perm)


def _same(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    del node
    return same_shape(source, output)


def _slices_everything(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    steps = integers(input_at(node, 4)) if input_at(node, 4) is not None else [1]
    if steps is None or set(steps) != {1}:
        return False
    starts = ints_attribute(node, "starts") or integers(input_at(node, 1))
    ends = ints_attribute(node, "ends") or integers(input_at(node, 2))
    if starts and ends and set(starts) == {0} and min(ends) >= _TO_THE_END:
        return True
    axes = ints_attribute(node, "axes") or integers(input_at(node, 3)) or list(range(len(starts or ())))
    have, made = dims(source), dims(output)
    if have is None or made is None or len(have) != len(made):
        return False
    return bool(axes) and all(isinstance(have[axis], int) and have[axis] == made[axis] for axis in axes)


def _casts_to_its_own_type(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    del output
    return source.dtype is not None and int_attribute(node, "to", 0) == source.dtype.value


def _pads_nothing(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    del source, output
    pads = ints_attribute(node, "pads") or integers(input_at(node, 1))
    return pads is not None and not any(pads)


def _tiles_once(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    del source, output
    repeats = integers(input_at(node, 1))
    return repeats is not None and set(repeats) <= {1}


def _is_of_one(node: ir.Node, source: ir.Value, output: ir.Value) -> bool:
    del source, output
    return len(node.inputs) == 1


_NO_EFFECT: dict[str, Callable[[ir.Node, ir.Value, ir.Value], bool]] = {
    "Transpose": _transposes_nothing,
    "Reshape": _same,
    "Flatten": _same,
    "Expand": _same,
    "Slice": _slices_everything,
    "Cast": _casts_to_its_own_type,
    "Pad": _pads_nothing,
    "Tile": _tiles_once,
    "Concat": _is_of_one,
}


def _pad_into_conv(work: Rewriting, pad: ir.Node) -> None:
    output = pad.outputs[0]
    readers = [use.node for use in output.uses()]
    if not any(is_standard(reader, "Conv") for reader in readers):
        return
    conv = sole_consumer(output)
    if conv is None or len(readers) != 1 or conv.inputs[0] is not output:
        work.skipped(pad.name, "Pad + Conv was not merged: the padded tensor is read elsewhere too")
        return
    problem, spatial = _spatial_pads(pad)
    if text_attribute(conv, "auto_pad", "NOTSET") not in {"NOTSET", "VALID"}:
        problem = "the Conv pads by itself (auto_pad)"
    old = ints_attribute(conv, "pads")
    if old is not None and len(old) != len(spatial):
        problem = problem or "the number of pads differs"
    if problem:
        work.skipped(pad.name, f"Pad + Conv was not merged: {problem}")
        return
    pads = spatial if old is None else [one + two for one, two in zip(old, spatial, strict=True)]
    conv.attributes["pads"] = ir.AttrInt64s("pads", pads)
    conv.attributes.pop("auto_pad", None)
    conv.replace_input_with(0, pad.inputs[0])
    work.orphan(output)
    work.did("graph", "moved Pad into the Conv behind it")
    work.drop_unused()


def _spatial_pads(pad: ir.Node) -> tuple[str, list[int]]:
    """What forbids it, or the pads of all axes but the first two, begins before ends."""
    size = rank(pad.inputs[0])
    pads = ints_attribute(pad, "pads") or integers(input_at(pad, 1))
    if text_attribute(pad, "mode", "constant") != "constant":
        return "it does not pad with a constant", []
    value = input_at(pad, 2)
    filling = pad.attributes.get("value")
    zero = scalar(value) == 0 if value is not None else filling is None or filling.as_float() == 0
    if not zero:
        return "it does not pad with zeros", []
    if pads is None or size is None:
        return "its pads are not constant", []
    given = input_at(pad, 3)
    axes = list(range(size)) if given is None else integers(given)
    if axes is None or len(pads) != 2 * len(axes):
        return "its axes are not constant", []
    full = np.zeros((2, size), dtype=np.int64)
    full[:, [axis % size for axis in axes]] = np.array(pads).reshape(2, -1)
    if (full < 0).any():
        return "it crops", []
    if full[:, :2].any():
        return "it pads batch or channels", []
    return "", [int(item) for item in full[:, 2:].ravel()]
