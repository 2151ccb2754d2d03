"""A model's answers kept on disk, for metrics that must be computed again over parts of the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from edgewright.core.tensors import Outputs


class AnswerStore:
    """Answers by the number of their sample; memory holds one at a time, and their places.

    Args:
        path: a file that does not exist yet; its folder does.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._places: list[list[tuple[str, int]]] = []

    def __len__(self) -> int:
        return len(self._places)

    def passing(self, answers: Iterable[Outputs]) -> Iterator[Outputs]:
        """The same answers, each kept on its way."""
        with self._path.open("wb") as file:
            for answer in answers:
                places = []
                for name, array in answer.items():
                    places.append((name, file.tell()))
                    np.save(file, array, allow_pickle=False)
                self._places.append(places)
                yield answer

    def read(self, index: int) -> Outputs:
        """The answer to one sample."""
        found = {}
        with self._path.open("rb") as file:
            for name, place in self._places[index]:
                file.seek(place)
                found[name] = np.load(file, allow_pickle=False)
        return found
