"""How a message crosses between a parent and its child: JSON and raw arrays in shared memory, a doorbell on a socket.

A message lies in a :class:`Slot` as ``JSON header | padding | array | padding | array ...``, every part aligned to 64
bytes. What goes through the socket is the doorbell alone (24 bytes: slot, header bytes, total bytes), so that neither
side can ever block while sending. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
import tempfile
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edgewright.core.tensors import Array

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
"""What JSON can say."""

DOORBELL = struct.Struct("<QQQ")
"""Slot number, bytes of the header, bytes of the whole message."""

_ALIGNMENT = 64
_SMALLEST_SLOT = 1 << 16


class Slot:
    """A growing piece of shared memory with one writer and one reader, both holding the same open file.

    It is never made smaller: it keeps the size of the largest message that went through it.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._map: mmap.mmap | None = None

    @classmethod
    def create(cls) -> Slot:
        """An empty one, in memory where the system can (Linux), otherwise in a file that has no name."""
        if not hasattr(os, "memfd_create"):
            with tempfile.TemporaryFile() as file:
                return cls(os.dup(file.fileno()))
        descriptor = os.memfd_create("edgewright", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        # A child gone mad must not shrink it under the parent's feet: reading there would be a bus error.
        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        return cls(descriptor)

    def write(self, header: Mapping[str, Json], arrays: Sequence[tuple[str, Array]] = ()) -> tuple[int, int]:
        """Puts a message in; returns the bytes of its header and of the whole."""
        packed = [(name, array.shape, *_bytes_of(array)) for name, array in arrays]
        described: list[Json] = []
        at = 0
        for name, shape, dtype, data in packed:
            described.append([name, dtype, [int(dim) for dim in shape], at, data.nbytes])
            at = _aligned(at + data.nbytes)
        text = json.dumps({**header, "arrays": described}).encode()
        start = _aligned(len(text))
        total = start + at
        view = self._writable(total)
        view[: len(text)] = np.frombuffer(text, np.uint8)
        at = start
        for *_, data in packed:
            view[at : at + data.nbytes] = data
            at = _aligned(at + data.nbytes)
        return len(text), total

    def read(
        self, header_bytes: int, total_bytes: int, *, copy: bool
    ) -> tuple[dict[str, Json], list[tuple[str, Array]]]:
        """Takes a message out. Without ``copy`` its arrays are valid until the slot's next message.

        Raises:
            ValueError: when the message is not one (the other side is broken).
        """
        if os.fstat(self.descriptor).st_size < total_bytes:
            raise ValueError("a message that is longer than its memory")
        if self._map is None or len(self._map) < total_bytes:
            self._map = mmap.mmap(self.descriptor, 0)
        header = json.loads(self._map[:header_bytes])
        start = _aligned(header_bytes)
        arrays = []
        for name, dtype, shape, at, size in header.pop("arrays"):
            data = np.frombuffer(self._map, np.uint8, size, start + at)
            arrays.append((str(name), _array_from(data, dtype, shape, copy=copy)))
        return header, arrays

    def close(self) -> None:
        """Lets go of the memory; arrays that were read without a copy keep their part of it."""
        self._map = None
        os.close(self.descriptor)

    def _writable(self, size: int) -> npt.NDArray[np.uint8]:
        if self._map is None or len(self._map) < size:
            # Twice what is needed, so that slowly growing messages do not map anew each time.
            os.ftruncate(self.descriptor, max(_SMALLEST_SLOT, size * 2, os.fstat(self.descriptor).st_size))
            self._map = mmap.mmap(self.descriptor, 0)
        return np.frombuffer(self._map, np.uint8)


def dtype_named(name: str) -> np.dtype[np.generic]:
    """The numpy type of that name, those of ``ml_dtypes`` (bfloat16, float8, int4) included.

    Raises:
        TypeError: when there is none.
    """
    try:
        return np.dtype(name)
    except TypeError:
        import ml_dtypes

        if not hasattr(ml_dtypes, name):
            raise
        foreign: np.dtype[np.generic] = np.dtype(getattr(ml_dtypes, name))
        return foreign


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _bytes_of(array: Array) -> tuple[str, npt.NDArray[np.uint8]]:
    """The name of its type and its elements in C order; texts become a JSON list."""
    if array.dtype.kind in "OUS":
        texts = [item.decode() if isinstance(item, bytes) else str(item) for item in array.reshape(-1).tolist()]
        return "string", np.frombuffer(json.dumps(texts).encode(), np.uint8)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    return native.dtype.name, np.ascontiguousarray(native).reshape(-1).view(np.uint8)


def _array_from(data: npt.NDArray[np.uint8], dtype: str, shape: list[int], *, copy: bool) -> Array:
    if dtype == "string":
        texts: Array = np.array(json.loads(data.tobytes()), dtype=object)
        return texts.reshape(shape)
    array = data.view(dtype_named(dtype)).reshape(shape)
    return array.copy() if copy else array
