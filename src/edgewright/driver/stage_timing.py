"""Times what pruning proposes: on every target of the compile, in the precision it will be shipped in, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from edgewright.backends import Artifact
from edgewright.benchmarks.search_grade import Arm, time_arms
from edgewright.compiler.numeric_gate import Gate
from edgewright.compiler.pass_base import Stage
from edgewright.compiler.pipeline import AnyPass, run_pipeline
from edgewright.compiler.site import Absent, Samples
from edgewright.core.errors import EdgewrightError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds
from edgewright.driver.choice import Choice, float_choices, int8_choices
from edgewright.driver.job import Lane
from edgewright.driver.workshop import narrowed

_MOST_SECONDS, _LEAST_SECONDS, _SESSION_SECONDS = 2.0, 0.5, 30.0
"""What an arm is given: two seconds where there are few of them, less where a whole table is measured."""
_QUICK: Mapping[str, object] = {"smooth": 0.0, "ranges": "minmax", "bias_correction": False}
"""Ranges decide no kernel: a candidate that is only timed gets them from a few samples, the quick way."""
_CALIBRATION = 2
_REFERENCE = "reference"


@dataclass(frozen=True)
class _Few:
    """The first samples of a set."""

    whole: Samples
    count: int

    def __len__(self) -> int:
        return min(self.count, len(self.whole))

    def __iter__(self) -> Iterator[Feeds]:
        return islice(iter(self.whole), self.count)

    @property
    def digest(self) -> str:
        return f"{self.whole.digest}:{self.count}"


@dataclass
class StageTimer:
    """``site.Measure`` for one compile.

    Times of one session are scaled so that the original in float32 takes in each what it took in the first: machines
    drift between sessions, and what is compared with a limit must not.
    """

    lanes: Sequence[tuple[str, Lane]]
    """With the name of the output each works for; runtimes that compete for one output count by the fastest."""
    feeds: Sequence[Feeds]
    precision: str
    """What is shipped where the target has it; float32 where not, and where that is left open."""
    _first_ms: dict[str, float] = field(default_factory=dict)
    _reference: dict[str, Artifact] = field(default_factory=dict)

    def __call__(self, models: Sequence[OnnxModel]) -> list[Mapping[str, float]]:
        """For each model the time on every output's target, in milliseconds."""
        found: list[dict[str, float]] = [{} for _ in models]
        for name, lane in self.lanes:
            for place, time_ms in enumerate(self._timed(lane, models)):
                if time_ms is not None:
                    found[place][name] = min(time_ms, found[place].get(name, float("inf")))
        return list(found)

    def float32_ms(self) -> dict[str, float]:
        """What the original takes in float32, for each output's target."""
        if not self._first_ms:
            self([])
        found: dict[str, float] = {}
        for name, lane in self.lanes:
            if (time_ms := self._first_ms.get(lane.target.name)) is not None:
                found[name] = min(time_ms, found.get(name, float("inf")))
        return found

    def _timed(self, lane: Lane, models: Sequence[OnnxModel]) -> list[float | None]:
        artifacts = [self._lowered(lane, model) for model in models]
        arms = [Arm(_REFERENCE, self._original(lane), self.feeds)]
        arms += [Arm(str(place), one, self.feeds) for place, one in enumerate(artifacts) if one is not None]
        seconds = min(_MOST_SECONDS, max(_LEAST_SECONDS, _SESSION_SECONDS / len(arms)))
        times = {one.name: one.median_ms for one in time_arms(arms, seconds_per_arm=seconds, threads=lane.threads)}
        for one in artifacts:
            if one is not None:
                for name in one.files:
                    (one.folder / name).unlink(missing_ok=True)
        reference = times[_REFERENCE]
        if reference is None:
            return [None] * len(models)
        scale = self._first_ms.setdefault(lane.target.name, reference) / reference
        measured = [times.get(str(place)) for place in range(len(models))]
        return [None if time_ms is None else time_ms * scale for time_ms in measured]

    def _original(self, lane: Lane) -> Artifact:
        if lane.target.name not in self._reference:
            choice = float_choices(lane.target)[0]
            self._reference[lane.target.name] = lane.workshop.build(choice).artifact
        return self._reference[lane.target.name]

    def _lowered(self, lane: Lane, model: OnnxModel) -> Artifact | None:
        choice = self._choice(lane)
        site = replace(lane.workshop.site, target=narrowed(lane.target, choice), memo={}, log=_quiet)
        if not isinstance(site.samples, Absent):
            site = replace(site, samples=_Few(site.samples, _CALIBRATION))
        passes = [_quick(one) for one in lane.workshop.pipeline(choice).passes]
        try:
            ready, _ = run_pipeline(passes, model, site, Gate(samples=0, worst_layer=False))
            return lane.workshop.lowered(ready, site.target, lane.workshop.hint(choice))
        except EdgewrightError as error:
            lane.workshop.site.log(f"  {lane.target.name}: a candidate cannot be timed: {error.problem}")
            return None

    def _choice(self, lane: Lane) -> Choice:
        floats = float_choices(lane.target)
        if self.precision != "int8":
            return next((one for one in floats if one.precision == self.precision), floats[0])
        schemes = lane.target.int8.schemes if lane.target.int8 else ()
        static = {scheme.name for scheme in schemes if scheme.kind == "static"}
        return next((one for one in int8_choices(lane.target) if one.scheme in static), floats[0])


def _quiet(_line: str) -> None:
    """A candidate that is only timed says nothing of its calibration."""


def _quick(one: AnyPass) -> AnyPass:
    if one.stage is not Stage.QUANTIZE:
        return one
    known = {name: value for name, value in _QUICK.items() if hasattr(one.options, name)}
    return type(one)(replace(one.options, **known)) if known else one  # type: ignore[type-var]
