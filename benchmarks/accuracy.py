"""How good a model's answers are: a metric over a data set, streamed, in pairs with the original where it needs one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric, registry
from edgewright.benchmarks.metrics._own import Decoded, own_metric
from edgewright.core.data import DataSet
from edgewright.core.errors import EngineError, UsageError
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec
from edgewright.core.user_code import is_reference

_FLOATING = ("float16", "float32", "float64", "bfloat16")


@dataclass(frozen=True)
class Score:
    """What a metric says of a model on a data set."""

    metric: str
    value: float
    n: int
    """How many scores the value is the mean of; the number of samples for a metric that is no mean."""
    higher_is_better: bool
    per_sample: npt.NDArray[np.float64] | None = field(default=None, repr=False, compare=False)
    """The ``n`` scores in the data's order, or None when the metric is not a mean of such scores."""


@dataclass(frozen=True)
class MetricChoice:
    """A metric chosen for the user, and why it is this one."""

    name: str
    reason: str


def load_metric(text: str, decode: str | None = None) -> Metric:
    """A fresh metric: a registered name, or the user's ``module:function`` or ``file.py:function``.

    Args:
        text: what the user typed.
        decode: ``module:function`` that turns the model's outputs into what the metric takes, as a dict or one array.

    Raises:
        UsageError: an unknown name, or a function that is missing, raises or has the wrong form.
        UnavailableError: the metric's library is not installed.
    """
    metric = own_metric(text) if is_reference(text) else registry().find(text)()
    return Decoded(metric, decode) if decode else metric


def default_metric(outputs: Sequence[TensorSpec], labelled: bool) -> MetricChoice:
    """What to judge by when the user has not said: ``top1``, ``agreement`` or ``cosine``.

    A model with one floating-point output of two dimensions (trailing ones aside) is taken for a classifier.
    """
    if _is_classifier(outputs):
        if labelled:
            return MetricChoice("top1", "the data has labels and the model has one row of scores per sample")
        return MetricChoice("agreement", "the data has no labels, so the original's choice of class is the reference")
    shapes = ", ".join(spec.shape_text for spec in outputs)
    if labelled:
        return MetricChoice(
            "cosine", f"outputs of shape {shapes} are no class scores; to use the labels, name a --metric"
        )
    return MetricChoice("cosine", f"the data has no labels, and outputs of shape {shapes} are no class scores")


def evaluate(
    session_run: Callable[[Feeds], Outputs],
    dataset: DataSet,
    metric: Metric,
    original: Callable[[Feeds], Outputs] | Iterable[Outputs] | None = None,
) -> Score:
    """The metric's value over ``dataset``, one sample in memory at a time.

    Args:
        session_run: answers one sample.
        dataset: the samples, with labels where the metric compares with them.
        metric: a fresh one; it is used up.
        original: for a fidelity metric, the original model: what answers one sample, or its answers in order.

    Raises:
        UsageError: the metric needs labels, or an original, that are not there.
        BadInputError: labels or outputs that do not fit each other.
        EngineError: the engine failed.
    """
    originals = map(original, dataset) if callable(original) else original
    return score(map(session_run, dataset), dataset, metric, originals)


def score(
    answers: Iterable[Outputs], dataset: DataSet, metric: Metric, originals: Iterable[Outputs] | None = None
) -> Score:
    """As :func:`evaluate`, for a model whose answers come as a stream in the data's order (``session.run_many``).

    Raises:
        UsageError, BadInputError, EngineError: as :func:`evaluate`.
    """
    seen = 0
    for answer, right in _paired(answers, _expected(dataset, metric, originals), len(dataset)):
        metric.update(answer, right)
        seen += 1
    value, scores = metric.compute(), metric.per_sample()
    return Score(metric.name, value, seen if scores is None else len(scores), metric.higher_is_better, scores)


def drop(reference: float, value: float, higher_is_better: bool) -> float:
    """How much worse ``value`` is than ``reference``, in the metric's unit; negative when it is better."""
    return reference - value if higher_is_better else value - reference


def _expected(dataset: DataSet, metric: Metric, originals: Iterable[Outputs] | None) -> Iterable[Array | Outputs]:
    if metric.compares_to == "labels":
        if not dataset.labelled:
            raise UsageError(
                f"metric {metric.name} needs labels, {dataset.name} has none",
                "Add an array named labels to the data, or use --metric agreement or cosine.",
            )
        return _labels(dataset)
    if originals is None:
        raise UsageError(
            f"metric {metric.name} compares with the original model, which is not at hand",
            "Give labelled data and a metric of labels.",
        )
    return originals


def _labels(dataset: DataSet) -> Iterator[Array]:
    for sample in dataset.samples():
        assert sample.label is not None
        yield sample.label


def _paired(
    answers: Iterable[Outputs], expected: Iterable[Array | Outputs], count: int
) -> Iterator[tuple[Outputs, Array | Outputs]]:
    ours, theirs = iter(answers), iter(expected)
    for index in range(count):
        answer, right = next(ours, None), next(theirs, None)
        if answer is None or right is None:
            whose = "the engine" if answer is None else "the original"
            raise EngineError(f"{whose} answered {index} of {count} samples", "Run the command again.")
        yield answer, right


def _is_classifier(outputs: Sequence[TensorSpec]) -> bool:
    if len(outputs) != 1 or outputs[0].dtype not in _FLOATING or outputs[0].shape is None:
        return False
    shape = list(outputs[0].shape)
    while len(shape) > 2 and shape[-1] == 1:
        shape.pop()
    return len(shape) == 2 and shape[-1] != 1
