"""Writes small ONNX models without the onnx package, which a device does not have.

Protocol buffers' wire format (https://protobuf.dev/programming-guides/encoding): a key ``field << 3 | wire type``, then
a varint (0) or a length and so many bytes (2). Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FLOAT, UINT8, INT8, INT64, BFLOAT16 = 1, 2, 3, 7, 16
"""``TensorProto.DataType``."""
_OPSET, _IR_VERSION = 17, 8
_ATTRIBUTE_INT = 2


@dataclass
class TinyModel:
    """A graph that grows node by node; values are known by their names."""

    nodes: list[bytes] = field(default_factory=list)
    constants: list[bytes] = field(default_factory=list)
    inputs: list[bytes] = field(default_factory=list)
    outputs: list[bytes] = field(default_factory=list)

    def node(self, kind: str, name: str, reads: Sequence[str], whole: tuple[str, int] | None = None) -> str:
        """Adds an operator of one result, which has its name; ``whole`` is an attribute and its value."""
        content = b"".join(_text(1, one) for one in reads) + _text(2, name) + _text(3, name) + _text(4, kind)
        if whole is not None:
            content += _chunk(5, _text(1, whole[0]) + _number(3, whole[1]) + _number(20, _ATTRIBUTE_INT))
        self.nodes.append(_chunk(1, content))
        return name

    def constant(self, name: str, kind: int, dims: Sequence[int], data: bytes) -> str:
        """Adds a stored tensor; ``data`` are its elements, little-endian, in C order."""
        content = b"".join(_number(1, dim) for dim in dims) + _number(2, kind) + _text(8, name) + _chunk(9, data)
        self.constants.append(_chunk(5, content))
        return name

    def reals(self, name: str, values: npt.NDArray[np.float32]) -> str:
        """Adds a stored float32 tensor."""
        return self.constant(name, FLOAT, values.shape, values.astype("<f4").tobytes())

    def input(self, name: str, dims: Sequence[int]) -> str:
        """Declares a float32 tensor that is fed."""
        self.inputs.append(_chunk(11, _value(name, dims)))
        return name

    def output(self, name: str, dims: Sequence[int]) -> None:
        """Declares a float32 result."""
        self.outputs.append(_chunk(12, _value(name, dims)))

    def to_bytes(self) -> bytes:
        """The file's content."""
        graph = b"".join([*self.nodes, _text(2, "tiny"), *self.constants, *self.inputs, *self.outputs])
        return _number(1, _IR_VERSION) + _chunk(7, graph) + _chunk(8, _text(1, "") + _number(2, _OPSET))


def _value(name: str, dims: Sequence[int]) -> bytes:
    shape = b"".join(_chunk(1, _number(1, dim)) for dim in dims)
    return _text(1, name) + _chunk(2, _chunk(1, _number(1, FLOAT) + _chunk(2, shape)))


def _text(number: int, text: str) -> bytes:
    return _chunk(number, text.encode())


def _chunk(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
