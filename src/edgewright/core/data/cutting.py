"""How arrays with samples along their first axis become feeds: one rule for files and factories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewright.core.data.rows import Rows
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, TensorSpec


@dataclass(frozen=True)
class Cut:
    """How one array is read: whole feeds one after the other, slices of rows, or the same value every time."""

    kind: str
    """``feeds``, ``rows`` or ``same``."""
    count: int | None
    """Number of feeds; None for ``same``."""
    rows: int = 1
    """Rows of a feed, for ``rows``."""
    left_over: int = 0
    """Rows at the end that fill no feed."""

    def feed(self, array: Rows, index: int) -> Array:
        """The feed at ``index``."""
        if self.kind == "same":
            return np.asarray(array)
        if self.kind == "rows":
            return array[index * self.rows : (index + 1) * self.rows]
        return array[index : index + 1].reshape(array.shape[1:])


def cut_for(spec: TensorSpec, shape: tuple[int, ...]) -> Cut | None:
    """How an array of ``shape`` feeds ``spec``; None when its rank fits neither way.

    An array of the input's own rank is cut along its first axis into batches of the model's fixed batch size (1 where
    that is dynamic); one of a rank more holds whole feeds. A scalar input takes one value for all samples, too.

    >>> cut_for(TensorSpec("x", "float32", (4, 3)), (10, 3))
    Cut(kind='rows', count=2, rows=4, left_over=2)
    """
    if spec.shape is None or len(shape) == len(spec.shape) + 1:
        return Cut("feeds", shape[0]) if shape else None
    if len(shape) != len(spec.shape):
        return None
    if not shape:
        return Cut("same", None)
    batch = spec.shape[0]
    rows = batch if isinstance(batch, int) and batch > 0 else 1
    return Cut("rows", shape[0] // rows, rows, shape[0] % rows)


def common_count(cuts: dict[str, Cut], where: str) -> int:
    """The number of samples on which all arrays agree.

    Raises:
        BadInputError: when they do not, or when none of them has a first axis.
    """
    counts = {name: cut.count for name, cut in cuts.items() if cut.count is not None}
    if not counts:
        raise BadInputError(f"{where}: no array has a first axis that counts samples", "Stack the samples along one.")
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise BadInputError(f"{where}: arrays have different numbers of samples: {listed}", "Give all the same number.")
    return next(iter(counts.values()))


def label_cut(shape: tuple[int, ...], count: int, rows: int, where: str) -> Cut:
    """How labels are read: one entry a feed, or one entry for each of its ``rows``.

    Raises:
        BadInputError: when their number is neither.
    """
    if shape and shape[0] == count:
        return Cut("feeds", count)
    if shape and shape[0] // rows == count and rows > 1:
        return Cut("rows", count, rows)
    length = shape[0] if shape else 0
    raise BadInputError(f"{where}: {length} labels for {count * rows} samples", "Give one label for each sample.")
