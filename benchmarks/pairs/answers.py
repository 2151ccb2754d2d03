"""A model's answers kept on disk with their labels, for metrics that must be computed again over parts of the data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics import Metric
from edgewright.core.errors import BadInputError, IOFailureError
from edgewright.core.tensors import Array, Outputs

_Place = tuple[str | None, int, np.dtype[np.generic]]
"""Of one array: its name, which a label has not; where it begins; its type, which NumPy does not always give back."""


class AnswerStore:
    """Answers and labels by the number of their sample; memory holds one at a time, and their places.

    The file is open from ``with`` to its end.

    Args:
        path: a file that does not exist yet; its folder does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: list[list[_Place]] = []

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> Self:
        with _explained():
            self._file = self._path.open("w+b")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what could not be written is nothing that anybody will read
            self._file.close()

    def keep(self, answer: Outputs, label: Array) -> None:
        """Keeps the answer to the next sample.

        Raises:
            IOFailureError: the disk is full, or fails.
            BadInputError: an array of Python objects that are no texts.
        """
        places: list[_Place] = []
        arrays: list[tuple[str | None, Array]] = [*answer.items(), (None, label)]
        with _explained():
            for name, array in arrays:
                places.append((name, self._file.seek(0, 2), array.dtype))
                np.save(self._file, _texts(array) if array.dtype.kind == "O" else array, allow_pickle=False)
        self._places.append(places)

    def read(self, index: int) -> tuple[Outputs, Array]:
        """The answer to one sample, and its label.

        Raises:
            IOFailureError: the disk fails.
        """
        found: dict[str, Array] = {}
        label: Array | None = None
        with _explained():
            for name, place, dtype in self._places[index]:
                self._file.seek(place)
                plain = np.load(self._file, allow_pickle=False)
                array = plain.astype(object) if dtype.kind == "O" else plain.view(dtype)
                if name is None:
                    label = array
                else:
                    found[name] = array
        assert label is not None
        return found, label


class Keeping(Metric):
    """Another metric of labels, which also keeps what it was given."""

    def __init__(self, metric: Metric, store: AnswerStore) -> None:
        self._metric, self._store = metric, store
        self.name, self.higher_is_better, self.compares_to = metric.name, metric.higher_is_better, metric.compares_to

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Keeps both, and passes them on."""
        assert not isinstance(expected, dict)
        self._store.keep(outputs, expected)
        self._metric.update(outputs, expected)

    def compute(self) -> float:
        """The other metric's value."""
        return self._metric.compute()

    def per_sample(self) -> npt.NDArray[np.float64] | None:
        """The other metric's scores."""
        return self._metric.per_sample()


def _texts(array: Array) -> Array:
    wrong = {type(one).__name__ for one in array.reshape(-1) if not isinstance(one, str)}
    if wrong:
        raise BadInputError(
            f"an answer or a label has a {min(wrong)} where numbers or texts belong",
            "Use a metric that is a mean of per-sample scores: for those no answer is kept.",
        )
    return array.astype(np.str_)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise IOFailureError(
            f"answers cannot be kept for the metric: {error.strerror or error}",
            "Point TMPDIR to a folder with more space.",
        ) from error
