"""What a classifier answers otherwise once compiled: per class, and which samples changed sides.

A class's share counts first choices, whatever the metric is. A sample with several positions (frames, rows of a batch)
is as many decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from edgewright.benchmarks.metrics._classes import Classes, class_labels, predicted
from edgewright.benchmarks.metrics._own import decoder
from edgewright.benchmarks.trace import ClassDelta, Flips
from edgewright.core.data import DataSet
from edgewright.core.data.dataset import Subset
from edgewright.core.errors import EngineError
from edgewright.core.tensors import Array, Outputs

CLASSIFYING = frozenset({"top1", "top5", "agreement", "f1", "precision", "recall"})
"""Metrics whose outputs are one choice of class; others have no classes to compare."""
_SHOWN = 32


def compare_classes(
    data: DataSet, originals: Iterable[Outputs], answers: Iterable[Outputs], decode: str | None = None
) -> tuple[tuple[ClassDelta, ...], Flips]:
    """The classes that ``data`` has labels of, in their order (none without labels), and the flips.

    Args:
        data: the samples.
        originals: the original's outputs for each of them, in order.
        answers: the compiled model's.
        decode: ``module:function`` that makes class scores of a model's outputs; None where they are its outputs.

    Raises:
        UsageError, BadInputError: outputs are no class scores, or labels do not fit them.
        EngineError: there are not as many answers as samples.
    """
    scores = _as_they_are if decode is None else decoder(decode)
    tally = _Tally()
    before, after = iter(originals), iter(answers)
    for place, label in enumerate(_labels(data)):
        old, new = next(before, None), next(after, None)
        if old is None or new is None:
            raise EngineError(f"{place} of {len(data)} samples were answered", "Run the command again.")
        ours, theirs = predicted(scores(new)), predicted(scores(old))
        if ours.index.shape != theirs.index.shape:
            raise EngineError(
                f"the engine chooses {ours.index.shape} classes, the original {theirs.index.shape}",
                "Compile with --precision fp32; if that fails too, please report the model.",
            )
        tally.add(_given_place(data, place), theirs, ours, label)
    return tally.classes(), tally.flips()


def _as_they_are(outputs: Outputs) -> Outputs:
    return outputs


def _labels(data: DataSet) -> Iterator[Array | None]:
    if data.labelled:
        yield from (sample.label for sample in data.samples())
    else:
        yield from (None for _ in range(len(data)))


def _given_place(data: DataSet, place: int) -> int:
    """The sample's place in the data as the user has it, whatever it was divided into."""
    while isinstance(data, Subset):
        place = data.indices[place]
        data = data.parent
    return place


class _Tally:
    """Counts decisions."""

    def __init__(self) -> None:
        self.seen: Counter[int] = Counter()
        self.right_before: Counter[int] = Counter()
        self.right_after: Counter[int] = Counter()
        self.n = self.lost = self.gained = self.changed = 0
        self.lost_places: list[int] = []

    def add(self, place: int, original: Classes, compiled: Classes, label: Array | None) -> None:
        old, new = original.index, compiled.index
        self.n += old.size
        if label is None:
            self.changed += int((old != new).sum())
            return
        batch, positions = old.shape
        right = class_labels(label, (batch, positions), original.count)
        was, is_ = old == right, new == right
        for counter, chosen in ((self.seen, right), (self.right_before, right[was]), (self.right_after, right[is_])):
            counter.update(chosen.reshape(-1).tolist())
        lost = int((was & ~is_).sum())
        self.lost += lost
        self.gained += int((~was & is_).sum())
        self.changed += int((~was & ~is_ & (old != new)).sum())
        if lost and len(self.lost_places) < _SHOWN:
            self.lost_places.append(place)

    def classes(self) -> tuple[ClassDelta, ...]:
        return tuple(
            ClassDelta(str(index), count, self.right_before[index] / count, self.right_after[index] / count)
            for index, count in sorted(self.seen.items())
        )

    def flips(self) -> Flips:
        return Flips(self.n, self.lost, self.gained, self.changed, tuple(self.lost_places), labelled=bool(self.seen))
