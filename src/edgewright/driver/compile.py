"""From words to bundles: opens the model and the data, then for each target selects, proves and writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from edgewright.benchmarks.accuracy import default_metric
from edgewright.compiler.intake.source import load_model
from edgewright.compiler.site import Absent, Site
from edgewright.core.data import open_data
from edgewright.core.errors import CannotWriteError, EdgewrightError, ExitCode, UsageError
from edgewright.core.workdir import working_folder
from edgewright.driver import package
from edgewright.driver.depfile import files_read, write_depfile
from edgewright.driver.job import Job, Lane
from edgewright.driver.judge import Judge
from edgewright.driver.plan_file import read_plan
from edgewright.driver.presence import backend_for, presence
from edgewright.driver.proof import prove
from edgewright.driver.recipe import read_recipe
from edgewright.driver.reference import Answers, ReferenceExecutor
from edgewright.driver.report import CompileReport, TargetReport
from edgewright.driver.request import SUFFIX, CompileRequest
from edgewright.driver.selection import Contender, Selection
from edgewright.driver.sets import open_sets
from edgewright.driver.workshop import Workshop, require_supported
from edgewright.targets.detect import this_host
from edgewright.targets.load import load_targets
from edgewright.targets.schema import Target


@dataclass(frozen=True)
class Group:
    """What becomes one bundle: the targets that compete for it, and where it goes."""

    name: str
    targets: tuple[Target, ...]
    out: Path


def compile_model(request: CompileRequest) -> CompileReport:
    """Compiles one model for all targets of the request.

    With several targets, a failure of one is its entry in the report and the others go on; with one it is raised.

    Raises:
        EdgewrightError: for everything that concerns the whole job: the model, the data, the recipe, the outputs.
    """
    groups = output_groups(request)
    with working_folder() as workdir:
        job, notes = open_job(request, groups[0].targets[0], workdir)
        reports = []
        for group in groups:
            try:
                reports.append(compile_group(job, group))
            except EdgewrightError as error:
                if len(groups) == 1:
                    raise
                reports.append(TargetReport(group.name, error.exit_code, problem=error.problem, remedy=error.remedy))
    report = CompileReport(job.original.name, tuple(reports), notes)
    if request.depfile is not None:
        written = [one.bundle for one in report.targets if one.bundle is not None]
        write_depfile(request.depfile, written, files_read(request))
    return report


def output_groups(request: CompileRequest, *, create: bool = True) -> list[Group]:
    """One group per ``--target``, with its output checked before any long work (and its folder made, if ``create``).

    Raises:
        UsageError: unknown targets, or the same output twice.
        CannotWriteError: an output folder that cannot be used.
    """
    several = len(request.targets) > 1
    groups = []
    for text in request.targets:
        targets = load_targets(text)
        name = targets[0].name if len(targets) == 1 else targets[0].hardware
        out = request.out / f"{name.replace('/', '-')}{SUFFIX}" if several else request.out
        groups.append(Group(name, targets, out))
    names = [group.name for group in groups]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"target {', '.join(sorted(twice))} is given twice", "Name each target once.")
    if create:
        _check_output(request.out, folder=several)
    return groups


def open_job(request: CompileRequest, target: Target, workdir: Path) -> tuple[Job, tuple[str, ...]]:
    """Reads the recipe, the model and the data, in the order in which mistakes are cheapest to find.

    Raises:
        EdgewrightError: the first thing that is wrong with any of them.
    """
    recipe = read_recipe(request.recipe)
    loaded = load_model(
        request.model,
        trust_pickle=request.trust_pickle,
        allow_nonfinite=request.allow_nonfinite,
        shapes=(*recipe.shapes, *request.shapes),
        workdir=workdir,
    )
    original = loaded.model
    if request.precision == "int8" and request.data is None and request.eval_data is None:
        raise UsageError(
            "int8 needs data to find its ranges and to prove its accuracy", "Give --data, or --precision fp32."
        )
    sets = open_sets(request.data, request.eval_data, original.inputs, recipe.preprocessing, request.seed)
    notes = [*loaded.notes, *(sets.notes if sets else ())]
    metric = request.metric or recipe.metric or ""
    if sets is not None and not metric:
        chosen = default_metric(original.outputs, sets.prove.labelled)
        metric = chosen.name
        notes.append(f"metric: {metric} ({chosen.reason})")
    executor = ReferenceExecutor(target, workdir, this_host().cores)
    golden = None if request.golden is None else open_data(str(request.golden), original.inputs, recipe.preprocessing)
    job = Job(request, recipe, original, sets, metric, Answers(executor, original), workdir, golden=golden)
    for note in notes:
        request.log(note)
    return job, tuple(notes)


def compile_group(job: Job, group: Group) -> TargetReport:
    """Selects among the group's targets, proves the winner and writes its bundle.

    Raises:
        LimitMissedError: after the best found was written beside ``out`` with ``.missed`` in its name.
        EdgewrightError: nothing could be built.
    """
    job.request.log(f"{group.name}:")
    lanes = _lanes(job, group)
    selection = Selection(job, lanes, job.request.log)
    if job.request.plan is None:
        contenders, because = selection.ranked(), cast("object", selection.because)
    else:
        plan = read_plan(job.request.plan)
        contenders, because = iter([selection.planned(plan.choice)]), plan.because
    best: tuple[Contender, package.Proof] | None = None
    for contender in contenders:
        proof = prove(job, contender)
        if proof.limits.drop_met is not False:
            return _write(job, group, contender, proof, because, missed=False)
        job.request.log(f"  {contender.trial.choice.title} held on the selection set and misses on the proof set")
        if best is None or _drop(proof) < _drop(best[1]):
            best = (contender, proof)
    assert best is not None
    return _write(job, group, *best, because, missed=True)


def _lanes(job: Job, group: Group) -> list[Lane]:
    lanes: list[Lane] = []
    problems: list[EdgewrightError] = []
    for target in group.targets:
        try:
            lanes.append(open_lane(job, target))
        except EdgewrightError as error:
            problems.append(error)
            if len(group.targets) > 1:
                job.request.log(f"  {target.name} is out: {error.problem}")
    if not lanes:
        raise problems[0]
    return lanes


def open_lane(job: Job, target: Target) -> Lane:
    """What is needed to build for ``target``, after a check that its engine can take the model.

    Raises:
        UnavailableError: no backend, or operators it cannot take.
    """
    backend = backend_for(target)
    require_supported(backend, job.original, target)
    executor = job.answers.executor
    sets = job.sets
    site = Site(
        target=target,
        original=job.original,
        samples=Absent("no data was given") if sets is None else sets.calibrate,
        run=executor.run,
        measure=Absent("the driver times lowered engines, not graphs"),
        evaluate=Absent("the driver judges lowered engines, not graphs"),
        budget=job.request.budget,
        seed=job.request.seed,
        workdir=job.workdir,
        log=job.request.log,
        memo=job.memo,
    )
    judge = None if sets is None else Judge(job.metric, job.recipe.decode, job.answers)
    return Lane(target, presence(target, backend), Workshop(backend, site, job.recipe), judge)


def _write(
    job: Job, group: Group, contender: Contender, proof: package.Proof, because: object, *, missed: bool
) -> TargetReport:
    built, target = contender.trial.built, contender.lane.target
    out = group.out.with_name(f"{group.out.stem}.missed{group.out.suffix}") if missed else group.out
    recipe_digest = job.recipe_digest(target)
    digest = package.write(out, job.original, target, built, proof, recipe_digest=recipe_digest, because=because)
    problem = remedy = ""
    if missed and proof.accuracy is not None:
        drop, limit = proof.accuracy.drop or 0.0, job.request.budget.max_drop
        problem = (
            f"{target.name}: the best found loses {drop:.4f} of {job.metric}, {drop - limit:.4f} more than --max-drop"
        )
        remedy = f"It is in {out}. Allow a larger --max-drop, give more calibration data, or leave --precision to auto."
    return TargetReport(
        target=target.name,
        exit_code=ExitCode.LIMIT_MISSED if missed else ExitCode.OK,
        bundle=out,
        digest=digest,
        precision=built.choice.precision,
        candidate=built.choice.title,
        size_bytes=built.artifact.size_bytes,
        original_bytes=job.original.size_bytes,
        accuracy=proof.accuracy,
        problem=problem,
        remedy=remedy,
        notes=(*_marks(contender), *package.float_notes(built.journal)),
        recipe_digest=recipe_digest,
        plan_digest=built.choice.digest,
    )


def _marks(contender: Contender) -> list[str]:
    presence_ = contender.lane.presence
    kept = contender.trial.choice.kept_float
    lines = [] if presence_.mark == "measured" else [f"{presence_.mark}: {presence_.reason}"]
    return [*lines, *([f"{len(kept)} layers stay float to keep the accuracy: {', '.join(kept)}"] if kept else [])]


def _drop(proof: package.Proof) -> float:
    return float("inf") if proof.accuracy is None or proof.accuracy.drop is None else proof.accuracy.drop


def _check_output(out: Path, *, folder: bool) -> None:
    if folder:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWriteError(
                f"cannot use {out} as a folder: {error.strerror}", "Give -o another name."
            ) from error
    elif out.is_dir():
        raise CannotWriteError(
            f"{out} is a folder; with one target -o names a file", f"Try -o {out / ('model' + SUFFIX)}."
        )
    elif not out.parent.is_dir():
        raise CannotWriteError(f"the folder {out.parent} does not exist", f"Type: mkdir -p {out.parent}")
