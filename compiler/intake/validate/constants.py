"""Values that are known before anything runs: initializers and Constant nodes, also where they lie beside the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.numpy_helper

from edgewright.compiler.intake.validate.scopes import STANDARD_DOMAINS, Scope
from edgewright.core.tensors import Array

_CHUNK_BYTES = 4 << 20
SMALL = 1 << 16
"""Elements up to which a constant is read whole: scales, shapes, axes."""


class Constants:
    """Finds the constant behind a tensor's name, from the scope where it is used outwards."""

    def __init__(self, all_scopes: Sequence[Scope], folder: Path) -> None:
        self.folder = folder
        self._tensors: dict[Scope, dict[str, onnx.TensorProto]] = {scope: _named(scope) for scope in all_scopes}
        self._made = {scope: {name for node in scope.graph.node for name in node.output} for scope in all_scopes}

    def tensor(self, scope: Scope, name: str) -> onnx.TensorProto | None:
        """The tensor that ``name`` always has there, or None where it is computed or fed."""
        at: Scope | None = scope
        while at is not None:
            if name in self._tensors[at]:
                return self._tensors[at][name]
            if name in self._made[at]:
                return None
            at = at.parent
        return None

    def input_array(self, scope: Scope, node: onnx.NodeProto, index: int) -> Array | None:
        """The value of a node's input where it is constant and small, else None."""
        if len(node.input) <= index or not node.input[index]:
            return None
        tensor = self.tensor(scope, node.input[index])
        if tensor is None or math.prod(tensor.dims) > SMALL or tensor.data_type == onnx.TensorProto.STRING:
            return None
        return read(tensor, self.folder)


def _named(scope: Scope) -> dict[str, onnx.TensorProto]:
    found = {tensor.name: tensor for tensor in scope.initializers}
    for node in scope.graph.node:
        if node.op_type == "Constant" and node.domain in STANDARD_DOMAINS and node.output:
            tensor = _constant_value(node)
            if tensor is not None:
                found[node.output[0]] = tensor
    return found


def _constant_value(node: onnx.NodeProto) -> onnx.TensorProto | None:
    for attribute in node.attribute:
        if attribute.ref_attr_name:
            return None
        if attribute.name == "value":
            found: onnx.TensorProto = attribute.t
            return found
        if attribute.name == "value_int":
            return onnx.numpy_helper.from_array(np.array(attribute.i, np.int64))
        if attribute.name == "value_ints":
            return onnx.numpy_helper.from_array(np.array(attribute.ints, np.int64))
        if attribute.name == "value_float":
            return onnx.numpy_helper.from_array(np.array(attribute.f, np.float32))
        if attribute.name == "value_floats":
            return onnx.numpy_helper.from_array(np.array(attribute.floats, np.float32))
    return None


def read(tensor: onnx.TensorProto, folder: Path) -> Array:
    """The tensor's value; it must have passed the tensor checks."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        inside = onnx.TensorProto(
            data_type=tensor.data_type, dims=tensor.dims, raw_data=b"".join(_external(tensor, folder))
        )
        return onnx.numpy_helper.to_array(inside)
    return onnx.numpy_helper.to_array(tensor)


def bit_chunks(tensor: onnx.TensorProto, width: int, folder: Path) -> Iterator[npt.NDArray[np.unsignedinteger]]:
    """The elements of ``raw_data`` or external data as unsigned integers of ``width`` bytes, in pieces of 4 MiB."""
    dtype = np.dtype(f"<u{width}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        for piece in _external(tensor, folder):
            yield np.frombuffer(piece, dtype)
        return
    whole = np.frombuffer(tensor.raw_data, dtype)
    step = _CHUNK_BYTES // width
    for start in range(0, len(whole), step):
        yield whole[start : start + step]


def _external(tensor: onnx.TensorProto, folder: Path) -> Iterator[bytes]:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    path = folder / entries["location"]
    with path.open("rb") as file:
        offset = int(entries.get("offset", "0"))
        left = int(entries["length"]) if "length" in entries else path.stat().st_size - offset
        file.seek(offset)
        while left > 0 and (piece := file.read(min(left, _CHUNK_BYTES))):
            left -= len(piece)
            yield piece
