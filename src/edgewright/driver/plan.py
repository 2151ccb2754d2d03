"""What a compile would do: candidates with their passes, what is refused, what is cached, how long it takes.

Nothing is built for it but engines of the original, which are run for a moment so that there is something to estimate
from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from edgewright.backends import Unsupported
from edgewright.compiler.pass_base import Stage
from edgewright.core.errors import EdgewrightError
from edgewright.core.workdir import working_folder
from edgewright.driver.cache_compile import open_compiles
from edgewright.driver.chain import wanted_stages
from edgewright.driver.choice import CODED, Choice, coded_choices, float_choices
from edgewright.driver.compile import open_job, open_lane
from edgewright.driver.job import Job, Lane
from edgewright.driver.outputs import Group, output_groups
from edgewright.driver.plan_check import check_plan
from edgewright.driver.plan_estimate import (
    LEFT_OUT,
    Asked,
    Minutes,
    Probes,
    candidate_minutes,
    shared_minutes,
)
from edgewright.driver.plan_file import PlanFile, read_plan
from edgewright.driver.plan_kept import PASSES, kept_answers, kept_steps
from edgewright.driver.plan_report import CompilePlan, PlannedCandidate, TargetPlan
from edgewright.driver.planned import nothing_left, require_its_model
from edgewright.driver.presence import backend_for
from edgewright.driver.request import CompileRequest
from edgewright.driver.variant import QAT, RECOVERED
from edgewright.targets.detect import is_present
from edgewright.targets.schema import Target


def plan(request: CompileRequest) -> CompilePlan:
    """Everything a compile decides before its first pass, and what it will take.

    Raises:
        EdgewrightError: what would stop the compile as a whole.
    """
    groups = output_groups(request, create=False)
    check_plan(request.plan, groups)
    cache = open_compiles(request, groups)
    kept = {} if cache is None else cache.look(write=False)
    with working_folder() as workdir:
        job, notes = open_job(request, groups, workdir)
        require_its_model(job)
        planner = _Planner(job, None if request.plan is None else read_plan(request.plan), Probes(job))
        targets = tuple(one for group in groups for one in planner.plans(group))
        training = planner.training()
        minutes, basis = planner.altogether([one for one in targets if one.output not in kept])
        name, digest = job.original.name, job.original.digest
        return CompilePlan(name, digest, notes, targets, training, kept, minutes, basis)


@dataclass(frozen=True)
class _Planner:
    """Goes through the targets of one job."""

    job: Job
    file: PlanFile | None
    probes: Probes

    def training(self) -> tuple[str, ...]:
        job = self.job
        stages = wanted_stages(job.recipe, job.request)
        if job.train is not None:
            what = f"{len(job.train)} training samples{'' if job.train.labelled else ' without labels'}"
        else:
            count = 0 if job.sets is None else len(job.sets.calibrate)
            what = f"{count} calibration samples, augmented: no --train-data"
        return tuple(f"{stage}: on {what}" for stage in stages)

    def plans(self, group: Group) -> list[TargetPlan]:
        """Of the targets that compete for one output."""
        found: list[TargetPlan] = []
        elsewhere = all(is_present(target) is not None for target in group.targets)
        lanes: list[Lane] = []
        for target in group.targets:
            if elsewhere and lanes:
                why = f"{target.name}: {group.name} is not here and runtimes compete by time; name it"
                found.append(TargetPlan(target.name, group.name, left_out=(why,)))
                continue
            try:
                lanes.append(open_lane(self.job, target))
            except EdgewrightError as error:
                found.append(_impossible(self.job, group, target, error))
                continue
            found.append(self._plan(group, lanes[-1]))
        count = sum(len(one.candidates) for one in found)
        if self.file is not None and lanes and not count:
            raise nothing_left(self.file, [lane.target.name for lane in lanes])
        return [self._estimated(one, lanes, competing=count > 1) for one in found]

    def _plan(self, group: Group, lane: Lane) -> TargetPlan:
        """Without what it takes, which depends on how many compete."""
        mark = lane.presence
        choices, left_out = self._choices(lane)
        return TargetPlan(
            lane.target.name,
            group.name,
            f"{mark.mark}: {mark.reason}" if mark.reason else mark.mark,
            tuple(self._candidate(lane, choice) for choice in choices),
            left_out,
        )

    def _choices(self, lane: Lane) -> tuple[list[Choice], tuple[str, ...]]:
        """The candidates, the simplest first, and what is not among them."""
        if self.file is not None:
            return [one.choice for one in self.file.of(lane.target)], ("everything else: --plan names what is tried",)
        wanted, target = self.job.request.precision, lane.target
        left_out: list[str] = []
        coded = coded_choices(target)
        if coded and self.job.sets is None:
            left_out += ["int8: it needs --data to calibrate and to prove it"] if wanted == "auto" else []
            coded = []
        if wanted == "auto" and any(one.precision == "fp8" for one in coded):
            left_out.append("fp8: it is tried with --precision fp8 alone")
            coded = [one for one in coded if one.precision != "fp8"]
        every = [*float_choices(target), *coded]
        chosen = [one for one in every if wanted in ("auto", one.precision)]
        if wanted != "auto":
            left_out.append(f"every other precision: --precision is {wanted}")
        return [*chosen, *self._trained(lane, chosen)], tuple(left_out)

    def _trained(self, lane: Lane, choices: Sequence[Choice]) -> list[Choice]:
        """The same from what training is to leave; how wide that is, is not known yet."""
        stages = wanted_stages(self.job.recipe, self.job.request)
        if not stages or lane.workshop.program is not None:
            return []
        names = [RECOVERED] if any(stage != QAT for stage in stages) else []
        names += [QAT] if QAT in stages else []
        return [
            replace(one, variant=name) for name in names for one in choices if name != QAT or one.precision == "int8"
        ]

    def _candidate(self, lane: Lane, choice: Choice) -> PlannedCandidate:
        pipeline = lane.workshop.pipeline(choice)
        quantising = next((one for one in pipeline.passes if one.stage is Stage.QUANTIZE), None)
        calibrated = 0
        if self.job.sets is not None and quantising is not None and _calibrates(lane, choice):
            most = getattr(quantising.options, "samples", None)
            count = len(self.job.sets.calibrate)
            calibrated = min(most, count) if isinstance(most, int) else count
        return PlannedCandidate(
            choice,
            tuple(one.name for one in pipeline.passes),
            tuple(f"{one.name}: {one.reason}" for one in pipeline.unwanted),
            most_inferences=0,
            calibrated=calibrated,
        )

    def _estimated(self, found: TargetPlan, lanes: Sequence[Lane], *, competing: bool) -> TargetPlan:
        lane = next((one for one in lanes if one.target.name == found.target), None)
        if lane is None or not found.candidates:
            return found
        probe = self.probes.of(lane)
        asked = self._asked(lane, competing=competing, several=len(lanes) > 1)
        done = []
        for one in found.candidates:
            tunable = one.choice.precision in CODED and self.file is None
            kept = kept_steps(self.job, lane, one.choice)
            trials = asked.trials if tunable else 1
            inferences = trials * asked.judged + one.calibrated + self._proven
            minutes = candidate_minutes(probe, asked, kept, tunable=tunable)
            done.append(replace(one, most_inferences=inferences, from_cache=kept, minutes=minutes))
        return replace(found, candidates=tuple(done), basis=probe.basis)

    def _asked(self, lane: Lane, *, competing: bool, several: bool) -> Asked:
        job = self.job
        judged = job.sets is not None and lane.judge is not None and lane.presence.runnable
        alone = self.file is not None and not competing
        count = len(job.sets.select) if job.sets is not None and judged and not alone else 0
        # One precision on one runtime: the target's order decides, and nothing is timed.
        raced = competing and (several or job.request.precision == "auto")
        searched = job.request.precision == "auto" and self.file is None
        ways = lane.workshop.backend.executions(lane.target, lane.threads) if searched else ()
        return Asked(count, job.request.trials, timed=raced and lane.presence.timed, ways=len(ways))

    @property
    def _proven(self) -> int:
        return 0 if self.job.sets is None else len(self.job.sets.prove)

    def altogether(self, targets: Sequence[TargetPlan]) -> tuple[Minutes | None, str]:
        """About how long everything takes, and what that covers."""
        job = self.job
        candidates = [one for target in targets for one in target.candidates]
        if not targets:
            return Minutes(0.0, 0.0), "the cache has all of it"
        if not candidates:
            return None, "nothing can be built"
        if wanted_stages(job.recipe, job.request):
            return None, "how long training takes is not known before it runs"
        unknown = [one.target for one in targets if any(candidate.minutes is None for candidate in one.candidates)]
        if unknown:
            return None, f"{', '.join(unknown)}: nothing could be measured"
        reference = self.probes.reference()
        sets = () if job.sets is None else (job.sets.select, job.sets.prove)
        answered = [len(one) for one in sets if not kept_answers(job, one)]
        calibrated = max((one.calibrated for one in candidates if PASSES not in one.from_cache), default=0)
        shared = shared_minutes(reference, answered=answered, calibrated=calibrated)
        if shared is None:
            return None, f"the original cannot be run: {reference.unknown}"
        every = [one.minutes for one in candidates if one.minutes is not None]
        total = sum(every, shared)
        if job.request.precision in CODED and self.file is None:  # the first scheme that holds ends it
            total = Minutes(shared.least + min(one.least for one in every), total.most)
        return total + self._proofs(targets), f"from what was measured now; {LEFT_OUT}"

    def _proofs(self, targets: Sequence[TargetPlan]) -> Minutes:
        """The winner of each output is run on the samples that no choice was made with."""
        seconds = 0.0
        for _, listed in groupby([one for one in targets if one.candidates], key=lambda one: one.output):
            first = next(listed)
            seconds += self.probes.named(first.target).scoring_s(self._proven)
        return Minutes(seconds / 60, seconds / 60)


def _impossible(job: Job, group: Group, target: Target, error: EdgewrightError) -> TargetPlan:
    return TargetPlan(
        target.name,
        group.name,
        refused=_refused(job, target),
        problem=error.problem,
        remedy=error.remedy,
        exit_code=error.exit_code,
    )


def _calibrates(lane: Lane, choice: Choice) -> bool:
    rule = lane.target.fp8 if choice.precision == "fp8" else lane.target.int8
    schemes = () if rule is None else rule.schemes
    return any(one.name == choice.scheme and one.kind == "static" for one in schemes)


def _refused(job: Job, target: Target) -> tuple[Unsupported, ...]:
    """The operators that stand in the way, all of them; none where something else does."""
    try:
        backend = backend_for(target)
        model = job.original if "onnx" in backend.accepts else job.program
        return () if model is None else tuple(backend.supports(model, target))
    except EdgewrightError:
        return ()
