"""Holds a pass to its word: runs the model before and after it on real samples and compares every output."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx_ir as ir

from edgewright.compiler.site import Absent, Site
from edgewright.core.errors import EdgewrightError
from edgewright.core.model import Model, OnnxModel
from edgewright.core.tensors import Array, Feeds, Outputs

RANDOM_OPS = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}
)
_ROUNDING = {"float16": 2.0**-10, "bfloat16": 2.0**-7}
"""One unit in the last place of 16-bit outputs: two ways of computing the same number differ by that much."""
_LAYERS_PER_RUN = 64
"""Intermediate tensors made visible at once while looking for the worst layer; bounds memory."""


@dataclass(frozen=True)
class Gate:
    """How strictly EXACT passes are held to their word.

    ``samples`` real samples (0 switches the gate off), and whether a rejected pass is searched for its worst layer.
    ``evaluate_lossy`` also asks ``site.evaluate`` for the metric's drop after each LOSSY pass that changed something.
    """

    samples: int = 4
    worst_layer: bool = True
    evaluate_lossy: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.samples <= 64:
            raise ValueError(f"samples: {self.samples} is not within 0..64")


def relative_error(before: Array, after: Array) -> float:
    """``max|after - before| / max(1, max|before|)``; infinite when shape, kind or non-finite positions differ.

    >>> relative_error(np.array([2.0, 4.0]), np.array([2.0, 4.4]))
    0.1
    """
    if before.shape != after.shape:
        return float("inf")
    if before.dtype.kind in "OUSb" or after.dtype.kind in "OUSb":
        return 0.0 if np.array_equal(before, after) else float("inf")
    if before.size == 0:
        return 0.0
    old, new = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(old)
    if not np.array_equal(finite, np.isfinite(new)) or not np.array_equal(old[~finite], new[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    largest = float(np.abs(new[finite] - old[finite]).max())
    return round(largest / max(1.0, float(np.abs(old[finite]).max())), 15)


@dataclass
class Comparison:
    """Runs models on the same few samples, each model once, and compares what they answer."""

    site: Site
    gate: Gate
    _answers: dict[int, tuple[OnnxModel, list[Outputs] | EdgewrightError]] = field(default_factory=dict)

    def absence(self, model: OnnxModel) -> str | None:
        """Why nothing can be measured here, or None."""
        if self.gate.samples == 0:
            return "the numeric gate is switched off"
        if isinstance(self.site.run, Absent):
            return self.site.run.reason
        if isinstance(self.site.samples, Absent):
            return self.site.samples.reason
        drawn = sorted({node.op_type for node in model.ir.graph.all_nodes() if node.op_type in RANDOM_OPS})
        return f"the model draws random numbers ({', '.join(drawn)}): two runs never agree" if drawn else None

    def error(self, before: OnnxModel, after: OnnxModel) -> tuple[float | None, str]:
        """The largest relative error, and a sentence: why it is None, or where and why it is what it is."""
        if reason := self.absence(before):
            return None, reason
        reference = self._run(before)
        if isinstance(reference, EdgewrightError):
            return None, f"the model before the pass could not be run: {reference.problem}"
        answer = self._run(after)
        if isinstance(answer, EdgewrightError):
            return float("inf"), f"the model after the pass cannot be run: {answer.problem}"
        worst, text = 0.0, ""
        for old, new in zip(reference, answer, strict=True):
            for name, value in old.items():
                if name not in new:
                    return float("inf"), f"output '{name}' is missing"
                error = relative_error(value, new[name])
                if error > max(worst, _ROUNDING.get(value.dtype.name, 0.0)):
                    worst, text = error, f"output '{name}' differs by {error:.3g} of its largest value"
        return worst, text

    def forget_all_but(self, *models: Model) -> None:
        """Frees the answers of every other model."""
        keep = {id(model) for model in models}
        self._answers = {key: answer for key, answer in self._answers.items() if key in keep}

    def worst_layer(self, before: OnnxModel, after: OnnxModel) -> str:
        """The first intermediate tensor, in the order of execution, that both models have and that differs."""
        shared = _shared_intermediates(before, after)
        feeds = self._feeds(1)
        for start in range(0, len(shared), _LAYERS_PER_RUN):
            names = shared[start : start + _LAYERS_PER_RUN]
            try:
                old, new = self._once(exposed(before, names), feeds), self._once(exposed(after, names), feeds)
            except EdgewrightError as problem:
                return f"not found: {problem.problem}"
            for name in names:
                error = relative_error(old[name], new[name])
                if error > 1e-3:
                    return f"'{name}' is the first of {len(shared)} shared tensors to differ, by {error:.3g}"
        return f"none of the {len(shared)} intermediate tensors that both models have differs by more than 1e-3"

    def _feeds(self, count: int) -> list[Feeds]:
        assert not isinstance(self.site.samples, Absent)
        return list(itertools.islice(iter(self.site.samples), count))

    def _once(self, model: OnnxModel, feeds: Sequence[Feeds]) -> Outputs:
        assert not isinstance(self.site.run, Absent)
        return next(iter(self.site.run(model, feeds)))

    def _run(self, model: OnnxModel) -> list[Outputs] | EdgewrightError:
        known = self._answers.get(id(model))
        if known is None:
            assert not isinstance(self.site.run, Absent)
            answer: list[Outputs] | EdgewrightError
            try:
                answer = list(self.site.run(model, self._feeds(self.gate.samples)))
            except EdgewrightError as problem:
                answer = problem
            # The handle is kept beside its answer so that its id stays taken.
            known = self._answers[id(model)] = (model, answer)
        return known[1]


def exposed(model: OnnxModel, names: Sequence[str]) -> OnnxModel:
    """A copy of ``model`` that also returns the named intermediate tensors."""
    copy = model.copy()
    values = ir.convenience.create_value_mapping(copy.ir.graph, include_subgraphs=False)
    present = {value.name for value in copy.ir.graph.outputs}
    copy.ir.graph.outputs.extend(values[name] for name in names if name not in present)
    return copy


def _shared_intermediates(before: OnnxModel, after: OnnxModel) -> list[str]:
    new = {value.name for node in after.ir.graph for value in node.outputs}
    names = [value.name for node in before.ir.graph for value in node.outputs]
    return [name for name in names if name and name in new]
