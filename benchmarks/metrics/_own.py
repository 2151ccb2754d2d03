"""Metrics of a user's own, and functions that decode a model's outputs before any metric sees them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import MeanMetric, Metric
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Array, Outputs
from edgewright.core.user_code import blaming_user, load_function

_FORM = (
    "A metric is a function (outputs, label) -> float, or a factory of an object with update(outputs, expected),"
    " compute(), and optionally per_sample(), higher_is_better, compares_to ('labels' or 'original')."
)


def own_metric(text: str) -> Metric:
    """The metric that ``module:name`` or ``file.py:name`` gives.

    Raises:
        UsageError: when it cannot be loaded or is not a metric.
    """
    name = text.rpartition(":")[2]
    function = load_function(text, "metric")
    if not isinstance(function, type) and _needed_arguments(function) == 2:
        return _PerSample(name, function)
    if _needed_arguments(function) not in (0, None):
        raise UsageError(f"metric {text} takes {_needed_arguments(function)} arguments", _FORM)
    with blaming_user(f"making metric {text}"):
        made = function()
    return made if isinstance(made, Metric) else _Own(name, made)


def decoder(text: str) -> Callable[[Outputs], Outputs]:
    """The user's function ``module:function`` that makes of a model's outputs what a metric takes.

    Raises:
        UsageError: when it cannot be loaded; the function that is given, when theirs raises.
    """
    function = load_function(text, "decode function")

    def decode(outputs: Outputs) -> Outputs:
        with blaming_user(f"decode function {text}"):
            made = function(dict(outputs))
        if isinstance(made, dict):
            return {str(name): np.asarray(array) for name, array in made.items()}
        return {"decoded": np.asarray(made)}

    return decode


class Decoded(Metric):
    """Another metric over what a user's function makes of the outputs."""

    def __init__(self, metric: Metric, text: str) -> None:
        self._metric, self._decode = metric, decoder(text)
        self.name, self.higher_is_better, self.compares_to = metric.name, metric.higher_is_better, metric.compares_to

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Decodes the outputs, and the original's where those are what they are compared with."""
        self._metric.update(self._decode(outputs), self._decode(expected) if isinstance(expected, dict) else expected)

    def compute(self) -> float:
        """The other metric's value."""
        return self._metric.compute()

    def per_sample(self) -> npt.NDArray[np.float64] | None:
        """The other metric's scores."""
        return self._metric.per_sample()


class _PerSample(MeanMetric):
    """The mean of a user's function of one sample."""

    def __init__(self, name: str, function: Callable[..., object]) -> None:
        super().__init__()
        self.name, self._function = name, function
        self.higher_is_better = bool(getattr(function, "higher_is_better", True))
        self.compares_to = _compared(name, function)

    def score(self, outputs: Outputs, expected: Array | Outputs) -> npt.NDArray[np.float64]:
        """What the function says of this sample."""
        with blaming_user(f"metric {self.name}"):
            value = float(self._function(outputs, expected))  # type: ignore[arg-type]
        return np.array([_finite(self.name, value)])


class _Own(Metric):
    """A user's object behind our contract: what it raises is told as theirs, what it returns is checked."""

    def __init__(self, name: str, made: object) -> None:
        missing = [part for part in ("update", "compute") if not callable(getattr(made, part, None))]
        if missing:
            raise UsageError(f"metric {name} made a {type(made).__name__} without {' and '.join(missing)}", _FORM)
        self._made = made
        self.name = str(getattr(made, "name", name))
        self.higher_is_better = bool(getattr(made, "higher_is_better", True))
        self.compares_to = _compared(name, made)

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Theirs."""
        with blaming_user(f"update of metric {self.name}"):
            self._made.update(outputs, expected)  # type: ignore[attr-defined]

    def compute(self) -> float:
        """Theirs, which must be a finite number."""
        with blaming_user(f"compute of metric {self.name}"):
            value = float(self._made.compute())  # type: ignore[attr-defined]
        return _finite(self.name, value)

    def per_sample(self) -> npt.NDArray[np.float64] | None:
        """Theirs; None when the object has none."""
        function = getattr(self._made, "per_sample", None)
        if not callable(function):
            return None
        with blaming_user(f"per_sample of metric {self.name}"):
            scores = function()
            if scores is None:
                return None
            found = np.asarray(scores, np.float64).reshape(-1)
        wrong = np.flatnonzero(~np.isfinite(found))
        if len(wrong):
            raise UsageError(
                f"metric {self.name} gave {found[wrong[0]]} as score {wrong[0] + 1} of {len(found)}",
                "Return a finite number for every sample.",
            )
        return found


def _compared(name: str, made: object) -> Literal["labels", "original"]:
    value = getattr(made, "compares_to", "labels")
    if value == "labels":
        return "labels"
    if value == "original":
        return "original"
    raise UsageError(f"metric {name} has compares_to {value!r}", "It must be 'labels' or 'original'.")


def _finite(name: str, value: float) -> float:
    if not np.isfinite(value):
        raise UsageError(f"metric {name} gave {value}", "Return a finite number for every sample.")
    return value


def _needed_arguments(function: Callable[..., object]) -> int | None:
    """How many positional arguments it cannot do without; None where that cannot be seen (built in C)."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is inspect.Parameter.empty for one in parameters)
