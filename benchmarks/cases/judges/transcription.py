"""Character error rate of CTC text recognition. Loadable by path; reads `characters.txt` beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np


class CharacterErrorRate:
    """Outputs `(1, steps, classes)` of which class 0 is the CTC blank; labels: the text. Edits per true character.

    Spaces round a line are not counted: the model sees margins as spaces, and every user of it strips them.
    """

    name = "cer"
    higher_is_better = False
    compares_to: Literal["labels"] = "labels"

    def __init__(self, characters: list[str]) -> None:
        self._characters = characters
        self._edits: list[int] = []
        self._lengths: list[int] = []

    def update(self, outputs: dict[str, np.ndarray], expected: np.ndarray | dict[str, np.ndarray]) -> None:
        assert not isinstance(expected, dict)
        steps = next(iter(outputs.values()))
        for line, text in zip(steps, np.asarray(expected).reshape(-1), strict=True):
            self._edits.append(edit_distance(self._read(line).strip(), str(text)))
            self._lengths.append(len(str(text)))

    def compute(self) -> float:
        return sum(self._edits) / max(1, sum(self._lengths))

    def per_sample(self) -> np.ndarray | None:
        """The error rate of each line; lines differ in length, so their mean is not quite `compute`."""
        return np.array(self._edits) / np.maximum(1, self._lengths)

    def _read(self, line: np.ndarray) -> str:
        """Greedy CTC: the best class of each step, repeats merged, blanks dropped."""
        best = line.argmax(-1)
        fresh = np.flatnonzero((best != 0) & (best != np.concatenate([[-1], best[:-1]])))
        return "".join(self._characters[best[i] - 1] for i in fresh)


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


def cer() -> CharacterErrorRate:
    """Raises: FileNotFoundError without the dictionary, one character a line, beside this file."""
    text = Path(__file__).with_name("characters.txt").read_text(encoding="utf-8")
    return CharacterErrorRate(text.split("\n"))
