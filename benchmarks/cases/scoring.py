"""The score of a model on a case's evaluation data with plain onnxruntime: what everything is compared with.

Independent of the product on purpose: the two must agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal, Protocol, cast

import numpy as np

from .case import Case, load_file

Feeds = dict[str, np.ndarray]
Runner = Callable[[Feeds], Feeds]


class Metric(Protocol):
    """What a factory in `judges/` returns."""

    name: str
    higher_is_better: bool
    compares_to: Literal["labels", "original"]

    def update(self, outputs: Feeds, expected: np.ndarray | Feeds) -> None: ...

    def compute(self) -> float: ...

    def per_sample(self) -> np.ndarray | None: ...


class FirstOutput:
    """The built-in metrics as this file understands them: over the first output, one value a sample."""

    higher_is_better = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.compares_to: Literal["labels", "original"] = "labels" if name == "top1" else "original"
        self._values: list[float] = []

    def update(self, outputs: Feeds, expected: np.ndarray | Feeds) -> None:
        got = next(iter(outputs.values()))
        if isinstance(expected, dict):
            want = next(iter(expected.values()))
            self._values.extend(self._against(got, want))
        else:
            self._values.extend(np.atleast_1d(got.argmax(-1) == np.asarray(expected).reshape(-1)).astype(float))

    def _against(self, got: np.ndarray, want: np.ndarray) -> np.ndarray:
        if self.name == "agreement":
            return np.asarray(got.argmax(-1) == want.argmax(-1), float).reshape(-1)
        a, b = got.reshape(len(got), -1).astype(float), want.reshape(len(want), -1).astype(float)
        return np.asarray((a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)))

    def compute(self) -> float:
        return float(np.mean(self._values))

    def per_sample(self) -> np.ndarray | None:
        return np.asarray(self._values)


def load_metric(reference: str) -> Metric:
    """A fresh metric from its name or from `file.py:factory`."""
    if reference in ("top1", "agreement", "cosine"):
        return FirstOutput(reference)
    path, _, factory = reference.rpartition(":")
    return cast(Metric, getattr(load_file(Path(path)), factory)())


def samples(data: Path, ranks: dict[str, int]) -> Iterator[tuple[Feeds, np.ndarray | None]]:
    """Feeds and label of each sample: batches of one from arrays of the input's rank, whole feeds from one more."""
    with np.load(data) as archive:
        arrays = {name: archive[name] for name in archive.files}
    labels = arrays.pop("labels", None)
    for i in range(len(next(iter(arrays.values())))):
        feeds = {
            name: array[i : i + 1] if array.ndim == ranks[name] else np.asarray(array[i])
            for name, array in arrays.items()
        }
        yield feeds, None if labels is None else labels[i]


def onnxruntime_runner(model: Path, threads: int = 2) -> tuple[Runner, dict[str, int]]:
    """A function from feeds to outputs, and the rank of each input."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Feeds) -> Feeds:
        return dict(zip(names, session.run(names, feeds), strict=True))

    return run, {entry.name: len(entry.shape) for entry in session.get_inputs()}


def score(case: Case, run: Runner, ranks: dict[str, int], original: Runner, metric: str | None = None) -> float:
    """The metric over the evaluation data for `run`; `original` is asked only where the metric compares with it."""
    judge = load_metric(metric or case.metric)
    for feeds, label in samples(case.eval_data, ranks):
        expected: np.ndarray | Feeds = original(feeds) if judge.compares_to == "original" else np.asarray(label)
        judge.update(run(feeds), expected)
    return judge.compute()
