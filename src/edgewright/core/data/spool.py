"""Samples that can be had only once, one after the other, put aside where any of them can be read again."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Sequence

import numpy as np

from edgewright.core.data.rows import keep_open
from edgewright.core.errors import BadInputError, IOFailureError
from edgewright.core.tensors import Array

MOST_SAMPLES = 1_000_000
"""More than any calibration or evaluation needs; an iterable that gives more is taken to be endless."""


class Spool:
    """Rows of arrays in one unnamed temporary file; memory holds an index entry for each array."""

    def __init__(self, name: str) -> None:
        self._name = name
        with tempfile.TemporaryFile() as file:
            self._descriptor = keep_open(file, self)
        self._most_bytes = shutil.disk_usage(tempfile.gettempdir()).free // 2
        self._index: list[tuple[tuple[int, str, tuple[int, ...]] | None, ...]] = []
        self._end = 0

    def __len__(self) -> int:
        return len(self._index)

    def append(self, row: Sequence[Array | None]) -> None:
        """Writes one row.

        Raises:
            BadInputError: so many rows or bytes that the source must be endless.
            IOFailureError: the disk is full.
        """
        entries: list[tuple[int, str, tuple[int, ...]] | None] = []
        try:
            for array in row:
                if array is None:
                    entries.append(None)
                    continue
                data = np.ascontiguousarray(array).tobytes()
                entries.append((self._end, array.dtype.str, array.shape))
                self._write(data)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            problem = f"no space left in {tempfile.gettempdir()} after {len(self)} samples of {self._name}"
            raise IOFailureError(problem, "Free some space, or set TMPDIR.") from error
        self._index.append(tuple(entries))
        if len(self) > MOST_SAMPLES or self._end > self._most_bytes:
            raise BadInputError(
                f"{self._name} gave {len(self):,} samples ({self._end:,} bytes) and goes on: is it endless?",
                "Return an iterable that ends; a few thousand samples are plenty.",
            )

    def row(self, index: int) -> list[Array | None]:
        """The row at ``index``; its arrays are new."""
        return [None if entry is None else self._read(*entry) for entry in self._index[index]]

    def _read(self, offset: int, dtype: str, shape: tuple[int, ...]) -> Array:
        kind = np.dtype(dtype)
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        return np.frombuffer(bytearray(os.pread(self._descriptor, size, offset)), kind).reshape(shape)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._descriptor, view, self._end)
            view, self._end = view[written:], self._end + written
