"""What is looked at: the models on the way from the original to what is shipped, and what they are run on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgewright.benchmarks import accuracy
from edgewright.benchmarks.accuracy import Score
from edgewright.compiler.computation import computation_digest
from edgewright.compiler.layer_errors import ErrorSums
from edgewright.compiler.numeric_gate import relative_error
from edgewright.compiler.pass_base import Note
from edgewright.compiler.pipeline import AnyPass
from edgewright.compiler.site import Run, Site
from edgewright.core.data import DataSet
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array, Feeds, Outputs
from edgewright.driver.blame.report import PassRow
from edgewright.driver.judge import Judge


@dataclass(frozen=True, eq=False)
class Step:
    """One pass that changed the model, or would have."""

    row: PassRow
    before: OnnxModel
    after: OnnxModel | None
    """None where it raised, or broke the model's inputs or outputs."""
    pass_: AnyPass | None = None
    """None for what is no pass: the model of a bundle."""
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True)
class Moved:
    """How far answers are from others."""

    noise: float
    largest: float


@dataclass(eq=False)
class Scene:
    """Everything that models are asked and answer; each model is run once."""

    original: OnnxModel
    target: str
    precision: str
    feeds: Sequence[Feeds]
    run: Run
    site: Site
    """As the passes have it."""
    log: Callable[[str], None]
    judge: Judge | None = None
    """None without data."""
    proof: DataSet | None = None
    of_proof: bool = False
    """Whether ``feeds`` are the first samples of ``proof``."""
    steps: list[Step] = field(default_factory=list)
    extra: list[PassRow] = field(default_factory=list)
    """Rows behind the steps, of what cannot be looked into: the engine."""
    notes: list[str] = field(default_factory=list)
    _answers: dict[str, list[Outputs]] = field(default_factory=dict)
    _keys: dict[int, tuple[OnnxModel, str]] = field(default_factory=dict)
    _scores: dict[str, Score] = field(default_factory=dict)

    def answers(self, model: OnnxModel) -> list[Outputs]:
        """What ``model`` answers to the samples.

        Raises:
            EngineError: it cannot be run.
        """
        key = self._key(model)
        if self.of_proof and key not in self._answers:
            self.score(model)
        if key not in self._answers:
            self._answers[key] = list(self.run(model, self.feeds))
        return self._answers[key]

    def score(self, model: OnnxModel) -> Score | None:
        """The metric of ``model`` on the proof set; None without data.

        Raises:
            EngineError: it cannot be run.
        """
        if self.judge is None or self.proof is None:
            return None
        key = self._key(model)
        if key not in self._scores:
            metric = accuracy.load_metric(self.judge.metric, self.judge.decode)
            originals = self.judge.answers.of(self.proof) if metric.compares_to == "original" else None
            answers = self._kept(key, self.run(model, self.proof)) if self.of_proof else self.run(model, self.proof)
            self._scores[key] = accuracy.score(answers, self.proof, metric, originals)
        return self._scores[key]

    def _key(self, model: OnnxModel) -> str:
        """Equal for models that compute the same. The handle is kept beside it, so that its id stays taken."""
        if id(model) not in self._keys:
            self._keys[id(model)] = (model, computation_digest(model))
        return self._keys[id(model)][1]

    def _kept(self, key: str, answers: Iterator[Outputs]) -> Iterator[Outputs]:
        """``answers`` to the proof set; those to ``feeds`` are among them and need not be asked for again."""
        first: list[Outputs] = []
        for answer in answers:
            if len(first) < len(self.feeds):
                first.append(answer)
                if len(first) == len(self.feeds):
                    self._answers[key] = first
            yield answer

    def measured(self, row: PassRow, before: OnnxModel, after: OnnxModel) -> PassRow:
        """``row`` with the figures of a step; one whose model cannot be run has failed."""
        try:
            mine, score = self.answers(after), self.score(after)
        except EngineError as error:
            return replace(row, failed=f"the model behind it cannot be run: {error.problem}")
        was = self.answers(before)
        own, away = moved(mine, was), moved(mine, self.answers(self.original))
        row = replace(row, moved=own.noise, away=away.noise, largest=own.largest)
        return self.judged(row, self.score(before), score)

    def judged(self, row: PassRow, before: Score | None, after: Score | None) -> PassRow:
        """``row`` with the metric's figures."""
        if before is None or after is None:
            return row
        loss = accuracy.drop(before.value, after.value, after.higher_is_better)
        return replace(row, value=after.value, loss=loss, chance=chance(before, after))


def chance(before: Score, after: Score) -> float | None:
    """Twice the standard error of the mean difference of paired scores; None where there are no scores of samples."""
    one, other = before.per_sample, after.per_sample
    if one is None or other is None or len(one) != len(other) or len(one) < 2:
        return None
    apart = np.asarray(other, np.float64) - np.asarray(one, np.float64)
    return 2.0 * float(np.std(apart, ddof=1)) / float(np.sqrt(len(apart)))


def moved(answers: Sequence[Outputs], others: Sequence[Outputs]) -> Moved:
    """How far ``answers`` are from ``others``, of the output that moves most; no number counts as wholly other."""
    noise = largest = 0.0
    for name in others[0] if others else ():
        pairs = [(one.get(name), other[name]) for one, other in zip(answers, others, strict=True)]
        noise = max(noise, _noise(pairs))
        errors = (float("inf") if have is None else relative_error(want, have) for have, want in pairs)
        largest = max(largest, *errors)
    return Moved(noise, largest)


def _noise(pairs: Sequence[tuple[Array | None, Array]]) -> float:
    total = ErrorSums()
    differing = count = 0
    for have, want in pairs:
        if have is None or have.shape != want.shape:
            return float("inf")
        if want.dtype.kind == "f" and have.dtype.kind == "f":
            total.add(have, want)
        else:
            differing += int(np.sum(have != want))
            count += want.size
    return differing / count if count else total.error().noise
