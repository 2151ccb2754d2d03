"""The same function with its channels at other scales: what makes int8 with one scale per tensor collapse.

Every tensor whose channels can be multiplied by factors that its producers take and its readers give back is found on
the graph alone: convolutions and Gemms take a factor in their rows and give it back in their columns, Relu and pooling
let positive ones through, an Add ties its operands together, a Mul by a Sigmoid's gate lets them through. Clip,
HardSwish, inputs and outputs of the graph hold a tensor at the scale it has. Factors are powers of two, so that weights
are multiplied without rounding. Knows nothing of what the product evens out, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

THROUGH = ("Relu", "LeakyRelu", "MaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "Flatten", "Identity")


@dataclass
class Tied:
    """Tensors whose channels (axis 1) have to be multiplied by the same factors."""

    members: list[ir.Value]
    makers: list[ir.Node] = field(default_factory=list)
    readers: list[ir.Node] = field(default_factory=list)
    held: bool = False
    """Something here would not give the same function."""

    @property
    def channels(self) -> int:
        """Their number, 0 where it is not known."""
        shape = self.members[0].shape
        return shape[1] if shape is not None and len(shape) > 1 and isinstance(shape[1], int) else 0


def rescale(model: ir.Model, seed: int, widest: int = 6) -> list[int]:
    """Multiplies channels of ``model`` in place by random powers of two from 2**-widest to 2**widest.

    Returns:
        For each set of tied tensors that was rescaled, how many channels it has.
    """
    rng = np.random.default_rng(seed)
    done = []
    for tied in free(model.graph):
        factor = 2.0 ** rng.integers(-widest, widest + 1, tied.channels)
        for node in tied.makers:
            for value in node.inputs[1:]:
                if value is not None:
                    _store(value, _rows(node, _array(value), factor))
        for node in tied.readers:
            _store(node.inputs[1], _columns(node, _array(node.inputs[1]), 1.0 / factor))
        done.append(tied.channels)
    return done


def free(graph: ir.Graph) -> list[Tied]:
    """The sets of tied tensors that can be rescaled, in the graph's order."""
    owner: dict[ir.Value, Tied] = {}

    def of(value: ir.Value) -> Tied:
        return owner.setdefault(value, Tied([value]))

    def tie(one: ir.Value, two: ir.Value) -> None:
        keep, other = of(one), of(two)
        if keep is not other:
            keep.members += other.members
            keep.makers += other.makers
            keep.readers += other.readers
            keep.held |= other.held
            for value in other.members:
                owner[value] = keep

    for node in graph:
        _visit(node, of, tie)
    for value in (*graph.inputs, *graph.outputs):
        of(value).held = True
    found = {id(tied): tied for tied in owner.values()}.values()
    return [tied for tied in found if not tied.held and tied.makers and tied.readers and tied.channels > 1]


def _visit(node: ir.Node, of, tie) -> None:  # type: ignore[no-untyped-def]
    kind, out = node.op_type, node.outputs[0]
    inputs = [value for value in node.inputs if value is not None]
    if kind in ("Conv", "Gemm") and all(_own(value) for value in inputs[1:]) and _plain(node):
        of(inputs[0]).readers.append(node)
        of(out).makers.append(node)
    elif kind in THROUGH and _keeps_channels(node):
        tie(inputs[0], out)
    elif kind == "Add" and all(value.shape == out.shape and value.const_value is None for value in inputs):
        for value in inputs:
            tie(value, out)
    elif kind == "Mul" and (gated := _gated(inputs)) is not None:
        tie(gated, out)
        for value in inputs:
            if value is not gated:
                of(value).held = True
    else:
        for value in (*inputs, *node.outputs):
            of(value).held = True


def _own(value: ir.Value) -> bool:
    return value.const_value is not None and value.producer() is None and len(value.uses()) == 1


def _plain(node: ir.Node) -> bool:
    if node.op_type == "Gemm":
        scales = [node.attributes.get_float(name, 1.0) for name in ("alpha", "beta")]
        bias = node.inputs[2] if len(node.inputs) > 2 else None
        flat = bias is None or (bias.shape is not None and len(bias.shape) == 1)
        return scales == [1.0, 1.0] and not node.attributes.get_int("transA", 0) and flat
    return True


def _keeps_channels(node: ir.Node) -> bool:
    """Whether axis 1 of what it reads is axis 1 of what it makes."""
    before, after = node.inputs[0], node.outputs[0]
    if before is None or before.shape is None or after.shape is None or len(after.shape) < 2:
        return False
    if node.op_type == "ReduceMean":
        constant = node.inputs[1].const_value if len(node.inputs) > 1 and node.inputs[1] is not None else None
        axes = node.attributes.get_ints("axes", None) if constant is None else constant.numpy().tolist()
        return axes is not None and sorted(axis % len(before.shape) for axis in axes) == [2, 3]
    return len(before.shape) > 1 and before.shape[1] == after.shape[1]


def _gated(inputs: list[ir.Value]) -> ir.Value | None:
    gates = [value for value in inputs if value.producer() is not None and value.producer().op_type == "Sigmoid"]  # type: ignore[union-attr]
    others = [value for value in inputs if value not in gates]
    return others[0] if len(gates) == 1 and len(others) == 1 and others[0].const_value is None else None


def _rows(node: ir.Node, array: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """A maker's weight or bias with each output channel multiplied."""
    if node.op_type == "Gemm" and array.ndim == 2 and not node.attributes.get_int("transB", 0):
        return array * factor
    return array * factor.reshape(-1, *[1] * (array.ndim - 1))


def _columns(node: ir.Node, array: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """A reader's weight with each input channel multiplied."""
    if node.op_type == "Gemm":
        return array * factor if node.attributes.get_int("transB", 0) else array * factor[:, None]
    groups = node.attributes.get_int("group", 1)
    grouped = array.reshape(groups, array.shape[0] // groups, array.shape[1], -1)
    return (grouped * factor.reshape(groups, 1, array.shape[1], 1)).reshape(array.shape)


def _array(value: ir.Value | None) -> np.ndarray:
    assert value is not None
    assert value.const_value is not None
    return value.const_value.numpy()


def _store(value: ir.Value | None, array: np.ndarray) -> None:
    assert value is not None
    value.const_value = ir.tensor(np.ascontiguousarray(array, np.float32), name=value.name)
