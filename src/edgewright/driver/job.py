"""One compile's surroundings, opened once and shared by all of its targets."""

from __future__ import annotations

import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from edgewright.core import jsontext
from edgewright.core.bundle import DataRecord
from edgewright.core.data import DataSet
from edgewright.core.model import OnnxModel, TorchFile, TorchSource
from edgewright.driver.cache_steps import Steps
from edgewright.driver.depfile import Depfile
from edgewright.driver.judge import Judge
from edgewright.driver.presence import Presence
from edgewright.driver.recipe import Recipe
from edgewright.driver.reference import Answers
from edgewright.driver.request import CompileRequest
from edgewright.driver.search import Trial
from edgewright.driver.sets import DataSets
from edgewright.driver.variant import Variant
from edgewright.driver.workshop import Workshop
from edgewright.targets.detect import this_host
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class Job:
    """The model, the data and the limits."""

    request: CompileRequest
    recipe: Recipe
    original: OnnxModel
    sets: DataSets | None
    metric: str
    """Name of the metric, chosen by the user or by default; empty without data."""
    answers: Answers
    workdir: Path
    memo: MutableMapping[str, object] = field(default_factory=dict)
    """What passes share across targets (calibration)."""
    golden: DataSet | None = None
    """What the user gave for the golden samples, where the other data must not travel."""
    program: TorchFile | None = None
    """The model in torch form, where it was given so and a runtime takes it."""
    source: TorchSource | None = None
    """Where a torch model comes from, for what trains it."""
    train: DataSet | None = None
    """``--train-data``."""
    steps: Steps = field(default_factory=Steps)
    """What earlier compiles left of the work."""
    variants: tuple[Variant, ...] = ()
    """What training made of the model, beside the original."""
    started: float = field(default_factory=time.monotonic)
    depfile: Depfile | None = None
    """What is written before any output appears."""

    @property
    def out_of_time(self) -> bool:
        """Whether ``--time-limit`` is over: what is begun is finished, and nothing more is begun."""
        limit = self.request.time_limit_s
        return limit is not None and time.monotonic() - self.started >= limit

    @property
    def preprocessing_json(self) -> dict[str, object]:
        """How images become inputs, as the manifest has it; empty where the recipe does not say."""
        return {name: steps.to_json() for name, steps in self.recipe.preprocessing.items()}

    @property
    def data_digests(self) -> DataRecord | None:
        """Of the samples that were given; None without any."""
        if self.sets is None and self.train is None:
            return None
        sets = (None, None, None) if self.sets is None else (self.sets.calibrate, self.sets.select, self.sets.prove)
        return DataRecord(*(None if one is None else one.digest for one in (*sets, self.train)))

    @property
    def _sizes_json(self) -> dict[str, object]:
        return {name: [vars(item) for item in ranges] for name, ranges in self.original.sizes.items()}

    def recipe_digest(self, target: Target) -> str:
        """Covers what goes in: model, data, target, limits, wishes; nothing that measurement decided."""
        request, sets = self.request, self.sets
        return jsontext.digest(
            {
                "model": self.original.digest,
                "sizes": {} if target.device == "CPU" else self._sizes_json,
                "data": None if sets is None else [sets.calibrate.digest, sets.select.digest, sets.prove.digest],
                "metric": self.metric,
                "target": target.to_json(),
                "max_drop": request.budget.max_drop,
                "max_bytes": request.budget.max_bytes,
                "max_latency_ms": request.budget.max_latency_ms,
                "max_latency_ratio": request.budget.max_latency_ratio,
                "train": None if self.train is None else self.train.digest,
                "keep": list(request.keep),
                "precision": request.precision,
                "recipe": self.recipe.to_json(),
                "seed": request.seed,
                "trials": request.trials,
                **({} if request.time_limit_s is None else {"time_limit_s": request.time_limit_s}),
            }
        )


@dataclass(frozen=True)
class Lane:
    """One target within a job: where its candidates are built, and how they are judged."""

    target: Target
    presence: Presence
    workshop: Workshop
    judge: Judge | None
    """None without data."""
    trials: dict[str, Trial] = field(default_factory=dict)
    """Everything that was scored on the selection set, by the choice's digest."""

    @property
    def threads(self) -> int:
        """Compute threads for every run here: the target's number, at most the cores this process may use."""
        return min(self.target.threads, this_host().cores)
