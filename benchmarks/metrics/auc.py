"""AUC: the area under the receiver operating characteristic, one class against the rest."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.metrics._base import Metric, seen
from edgewright.benchmarks.metrics._classes import class_labels, class_scores, first_output
from edgewright.benchmarks.metrics._sklearn import need
from edgewright.core.errors import BadInputError
from edgewright.core.tensors import Array, Outputs


class Auc(Metric):
    """0 to 1; of class 1 where there are one or two scores, else the unweighted mean over the classes that occur.

    Rows of several classes that are not probabilities already go through softmax, since samples are ranked against
    each other. All scores are kept: four bytes per class and sample (eight where the model answers float64).
    """

    name = "auc"

    def __init__(self) -> None:
        self._library = need("sklearn.metrics", self.name)
        self._scores: list[npt.NDArray[np.floating]] = []
        self._labels: list[npt.NDArray[np.int64]] = []

    def update(self, outputs: Outputs, expected: Array | Outputs) -> None:
        """Takes one sample's outputs and its label."""
        name, array = first_output(outputs)
        one_score = array.ndim < 2 or array.size == array.shape[0]
        scores = _one_score(array) if one_score else class_scores(outputs)
        if np.isnan(scores).any():
            raise BadInputError(f"output '{name}' is NaN: it ranks nowhere", "Judge it with --metric top1.")
        batch, positions, count = scores.shape
        self._labels.append(class_labels(expected, (batch, positions), max(count, 2)).reshape(-1))
        self._scores.append(scores.reshape(-1, count))

    def compute(self) -> float:
        """The area; 0.5 is chance."""
        seen(len(self._labels), self.name)
        labels, scores = np.concatenate(self._labels), _ranked(np.concatenate(self._scores).astype(np.float64))
        if np.isnan(scores).any():
            raise BadInputError("a row of scores holds infinities that rank nowhere", "Judge it with --metric top1.")
        if scores.shape[1] == 1:
            return self._area(labels == 1, scores[:, 0])
        return float(np.mean([self._area(labels == label, scores[:, label]) for label in np.unique(labels)]))

    def _area(self, positive: npt.NDArray[np.bool_], score: npt.NDArray[np.float64]) -> float:
        if positive.all() or not positive.any():
            raise BadInputError("auc needs samples of two classes at least, the labels name one", "Give more data.")
        # The library takes no infinity; the area depends on the order of the scores alone.
        return float(self._library.roc_auc_score(positive, np.unique(score, return_inverse=True)[1]))


def _one_score(array: Array) -> npt.NDArray[np.floating]:
    wide: npt.NDArray[np.floating] = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    return wide.reshape(-1, 1, 1)


def _ranked(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """``(samples, classes)``, or ``(samples, 1)`` of class 1 where there are two."""
    count = scores.shape[1]
    if count == 1:
        return scores
    if scores.min() >= 0 and np.allclose(scores.sum(1), 1, atol=1e-2):
        # Two columns too: 1 - p has lost what tells small probabilities apart.
        return scores[:, 1:] if count == 2 else scores
    with np.errstate(invalid="ignore"):
        if count == 2:
            return scores[:, 1:] - scores[:, :1]
        raised = np.exp(scores - scores.max(1, keepdims=True))
    # Summed in one order: rows of the same scores in other classes must stay tied to the last bit.
    return np.asarray(raised / np.sort(raised, 1).sum(1, keepdims=True))
