"""Arrays that stay in their file and are read by slices of their first axis."""

from __future__ import annotations

import math
import os
import weakref
from typing import IO, Protocol

import numpy as np

from edgewright.core.errors import IOFailureError
from edgewright.core.tensors import Array


def keep_open(file: IO[bytes], owner: object) -> int:
    """A descriptor of ``file`` of its own that lives as long as ``owner``; an unnamed file is gone with it."""
    descriptor = os.dup(file.fileno())
    weakref.finalize(owner, os.close, descriptor)
    return descriptor


class Rows(Protocol):
    """What a data set needs of an array: a numpy array has it, and so has :class:`FileRows`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Samples (or rows) first."""
        ...

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Of the elements."""
        ...

    def __getitem__(self, rows: slice, /) -> Array: ...


class FileRows:
    """A C-ordered array at an offset of a file.

    Slices are read, not memory-mapped: pages of a mapping count as this process's memory, and peak memory is a figure
    that we report.
    """

    def __init__(self, file: IO[bytes], offset: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> None:
        self.shape, self.dtype = shape, dtype
        self._offset = offset
        self._descriptor = keep_open(file, self)
        self._row_bytes = math.prod(shape[1:]) * dtype.itemsize

    def __getitem__(self, rows: slice, /) -> Array:
        """Rows ``start`` to ``stop`` as a new array.

        Raises:
            IOFailureError: the file is shorter than it was.
        """
        start, stop, _ = rows.indices(self.shape[0])
        count = max(0, stop - start)
        data = bytearray(count * self._row_bytes)
        view, position = memoryview(data), self._offset + start * self._row_bytes
        while view:
            got = os.preadv(self._descriptor, [view], position)
            if got == 0:
                raise IOFailureError("a data file became shorter while it was read", "Leave it alone during the run.")
            view, position = view[got:], position + got
        return np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])
