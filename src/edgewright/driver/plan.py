"""What a compile would do: passes in order with reasons, candidates, unsupported operators, cost; nothing is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgewright.compiler.pass_base import Stage
from edgewright.core.errors import EdgewrightError, ExitCode
from edgewright.core.workdir import working_folder
from edgewright.driver.cache_compile import open_compiles
from edgewright.driver.chain import wanted_stages
from edgewright.driver.choice import Choice, coded_choices, float_choices
from edgewright.driver.compile import open_job, open_lane
from edgewright.driver.job import Job, Lane
from edgewright.driver.outputs import Group, output_groups
from edgewright.driver.request import CompileRequest


@dataclass(frozen=True)
class PlannedCandidate:
    """One candidate: what would run for it, and what is left out and why."""

    title: str
    passes: tuple[str, ...]
    left_out: tuple[str, ...]
    most_inferences: int
    """An upper bound of the samples run through the model for it: the cost, in the only unit known beforehand."""


@dataclass(frozen=True)
class TargetPlan:
    """The plan for one target, or why there is none."""

    target: str
    presence: str
    candidates: tuple[PlannedCandidate, ...] = ()
    problem: str = ""
    remedy: str = ""
    exit_code: ExitCode = ExitCode.OK


@dataclass(frozen=True)
class DryRun:
    """All plans of a request."""

    model: str
    notes: tuple[str, ...]
    targets: tuple[TargetPlan, ...]
    training: tuple[str, ...] = ()
    """What would be done to the module before it is lowered, one line a stage."""
    from_cache: Mapping[str, str] = field(default_factory=dict)
    """What is asked for -> when it was compiled and measured, where the whole of it would be taken from the cache."""

    @property
    def exit_code(self) -> ExitCode:
        """The worst of any target."""
        return max((one.exit_code for one in self.targets), default=ExitCode.OK)

    def to_json(self) -> dict[str, object]:
        """The document of ``--dry-run --json``."""
        return {
            "schema": "edgewright.plan/1",
            "model": self.model,
            "notes": list(self.notes),
            "training": list(self.training),
            "from_cache": dict(self.from_cache),
            "targets": [
                {
                    "target": one.target,
                    "presence": one.presence,
                    "candidates": [vars(candidate) for candidate in one.candidates],
                    "problem": one.problem or None,
                    "remedy": one.remedy or None,
                    "exit_code": int(one.exit_code),
                }
                for one in self.targets
            ],
            "exit_code": int(self.exit_code),
        }


def plan(request: CompileRequest) -> DryRun:
    """Everything a compile decides before its first pass.

    Raises:
        EdgewrightError: what would stop the compile as a whole.
    """
    groups = output_groups(request, create=False)
    cache = open_compiles(request, groups)
    kept = {} if cache is None else cache.look(write=False)
    with working_folder() as workdir:
        job, notes = open_job(request, groups, workdir)
        plans = [one for group in groups for one in _plans(job, group)]
        return DryRun(job.original.name, notes, tuple(plans), _training(job), kept)


def _training(job: Job) -> tuple[str, ...]:
    stages = wanted_stages(job.recipe, job.request)
    if job.train is not None:
        what = f"{len(job.train)} training samples{'' if job.train.labelled else ' without labels'}"
    else:
        what = f"{0 if job.sets is None else len(job.sets.calibrate)} calibration samples, augmented: no --train-data"
    return tuple(f"{stage}: on {what}" for stage in stages)


def _plans(job: Job, group: Group) -> list[TargetPlan]:
    plans = []
    for target in group.targets:
        try:
            lane = open_lane(job, target)
        except EdgewrightError as error:
            plans.append(TargetPlan(target.name, "", (), error.problem, error.remedy, error.exit_code))
            continue
        wanted = job.request.precision
        choices = [*float_choices(target), *(coded_choices(target) if job.sets is not None else [])]
        chosen = [one for one in choices if wanted in ("auto", one.precision)]
        mark = lane.presence
        plans.append(
            TargetPlan(
                target.name,
                f"{mark.mark}: {mark.reason}" if mark.reason else mark.mark,
                tuple(_candidate(job, lane, choice) for choice in chosen),
            )
        )
    return plans


def _candidate(job: Job, lane: Lane, choice: Choice) -> PlannedCandidate:
    pipeline = lane.workshop.pipeline(choice)
    quantised = any(one.stage is Stage.QUANTIZE for one in pipeline.passes)
    inferences = 0
    if job.sets is not None:
        trials = job.request.trials if quantised else 1
        inferences = trials * len(job.sets.select) + len(job.sets.prove)
        inferences += len(job.sets.calibrate) * (1 if quantised else 0)
    return PlannedCandidate(
        choice.title,
        tuple(one.name for one in pipeline.passes),
        tuple(f"{one.name}: {one.reason}" for one in pipeline.unwanted),
        inferences,
    )
