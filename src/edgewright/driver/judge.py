"""How well a candidate keeps what the original could do, on one of the data sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from edgewright.backends import Artifact, open_isolated
from edgewright.benchmarks import accuracy
from edgewright.benchmarks.accuracy import Score
from edgewright.core.data import DataSet
from edgewright.core.user_code import is_reference
from edgewright.driver.cache_steps import Clock, Steps
from edgewright.driver.reference import Answers


@dataclass
class Judge:
    """Scores candidates with one metric; the original's own scores are computed once per set."""

    metric: str
    decode: str | None
    answers: Answers
    steps: Steps = field(default_factory=Steps)
    """What earlier compiles left of it: scores that choices were made by, and none that is shown."""
    _reference: dict[str, Score] = field(default_factory=dict)

    def reference(self, data: DataSet) -> Score:
        """The original's score on ``data``; a fidelity metric's best value is measured like any other."""
        if data.digest not in self._reference:
            metric = accuracy.load_metric(self.metric, self.decode)
            score = accuracy.score(self.answers.of(data), data, metric, self.answers.of(data))
            self._reference[data.digest] = score
        return self._reference[data.digest]

    def score(self, artifact: Artifact, data: DataSet, threads: int) -> Score:
        """The score of an engine on ``data``.

        Raises:
            EngineError: when the engine refuses, crashes or hangs.
        """
        metric = accuracy.load_metric(self.metric, self.decode)
        originals = self.answers.of(data) if metric.compares_to == "original" else None
        with open_isolated(artifact.backend, artifact, threads) as session:
            return accuracy.score(session.run_many(data), data, metric, originals)

    def known_score(self, artifact: Artifact, data: DataSet, threads: int) -> Score:
        """As :meth:`score`, for a choice: taken from the cache where the same engine was scored on the same samples.

        Raises:
            EngineError: as there.
        """
        if self.steps.store is None or is_reference(self.metric) or self.decode is not None:
            return self.score(artifact, data, threads)
        parts = {
            "engine": artifact.digest,
            "metric": self.metric,
            "data": data.digest,
            "original": self.answers.digest,
            "threads": threads,
        }
        with self.steps.found_or_owned("score", parts, f"the {self.metric} of an engine on {data.name}") as hit:
            if hit is not None:
                return Score(**cast("dict[str, Any]", hit.value))
            clock = Clock()
            score = self.score(artifact, data, threads)
            value = {
                "metric": score.metric,
                "value": score.value,
                "n": score.n,
                "higher_is_better": score.higher_is_better,
            }
            self.steps.keep("score", parts, value, took_s=clock.seconds)
            return score

    def drop(self, score: Score, data: DataSet) -> float:
        """How much worse than the original, in the metric's unit; negative is better."""
        return accuracy.drop(self.reference(data).value, score.value, score.higher_is_better)
