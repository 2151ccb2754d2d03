"""From words to bundles: opens the model and the data, then for each target selects, proves and writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.benchmarks.accuracy import default_metric
from edgewright.compiler.intake.beside import files_beside
from edgewright.compiler.intake.source import LoadedModel, load_model
from edgewright.compiler.site import Absent, Site
from edgewright.core.compare import worst_error
from edgewright.core.data import open_data
from edgewright.core.errors import EdgewrightError, UnavailableError, UsageError
from edgewright.core.model import TorchFile
from edgewright.core.workdir import working_folder
from edgewright.driver import package
from edgewright.driver.cache_compile import Compiles
from edgewright.driver.cache_memo import KeptMemo
from edgewright.driver.cache_steps import open_steps
from edgewright.driver.chain import Chain, checkpoints, require_trainable, wanted_stages
from edgewright.driver.conclude import Winner, conclude
from edgewright.driver.contender import Contender
from edgewright.driver.depfile import Depfile
from edgewright.driver.job import Job, Lane
from edgewright.driver.judge import Judge
from edgewright.driver.latency import check_latency, slower_than_float
from edgewright.driver.outputs import Group, output_groups
from edgewright.driver.plan_check import check_plan
from edgewright.driver.plan_file import read_plan
from edgewright.driver.planned import planned, require_its_model
from edgewright.driver.presence import accepted_forms, backend_for, presence
from edgewright.driver.proof import prove
from edgewright.driver.recipe import read_recipe
from edgewright.driver.reference import Answers, ReferenceExecutor
from edgewright.driver.report import CompileReport, TargetReport
from edgewright.driver.request import CompileRequest
from edgewright.driver.selection import Selection
from edgewright.driver.sets import open_sets
from edgewright.driver.settings import search_settings
from edgewright.driver.sizes import size_ranges
from edgewright.driver.trace import traced
from edgewright.driver.training_data import open_train, torch_source
from edgewright.driver.workshop import Workshop, require_supported
from edgewright.targets.detect import is_present, this_host
from edgewright.targets.schema import Target

EXPORT_TOLERANCE = 1e-3
"""Of an output's largest value: float32 sums in another order stay well below, a wrong operator does not."""
RETRIES = 3
"""How often a candidate that missed when it was proven is tuned again."""


def compile_model(
    request: CompileRequest, cache: Compiles | None = None, depfile: Depfile | None = None
) -> CompileReport:
    """Compiles one model for all targets of the request, those that ``cache`` has given already excepted.

    With several targets, a failure of one is its entry in the report and the others go on; with one it is raised.

    Raises:
        EdgewrightError: for everything that concerns the whole job: the model, the data, the recipe, the outputs.
    """
    groups = output_groups(request)
    check_plan(request.plan, groups)
    with working_folder() as workdir:
        job, notes = open_job(request, groups, workdir)
        job = replace(job, depfile=depfile)
        require_its_model(job)
        if stages := wanted_stages(job.recipe, request):
            return _trained_and_compiled(job, groups, notes, stages, cache)
        return _compiled(job, groups, notes, cache)


def _trained_and_compiled(
    job: Job, groups: Sequence[Group], notes: tuple[str, ...], stages: tuple[str, ...], cache: Compiles | None
) -> CompileReport:
    """What the stages leave is kept until every bundle is there as it was wished for."""
    plan = None if job.request.plan is None else read_plan(job.request.plan)
    with checkpoints(job.request) as work:
        lanes = tuple((group.name, lane) for group in groups for lane in _lanes(job, group))
        chain = Chain(job, stages, lanes, work.path, () if plan is None else plan.widths)
        if job.request.search_settings is not None:
            chain = replace(chain, settings=search_settings(chain, job.request.search_settings))
        report = _compiled(replace(job, variants=chain.run()), groups, notes, cache)
        work.kept = any(one.exit_code for one in report.targets)
    return report


def _compiled(
    job: Job, groups: Sequence[Group], notes: tuple[str, ...], cache: Compiles | None = None
) -> CompileReport:
    request = job.request
    reports = []
    for group in groups:
        try:
            if cache is not None and group.name in cache.given:
                reports.append(cache.given[group.name])
                continue
            if cache is not None:
                cache.begin(group)
            reports.append(compile_group(job, group))
            if cache is not None:
                cache.keep(group, reports[-1], job.original.name, notes, files_beside(Path(request.model)))
        except EdgewrightError as error:
            if len(groups) == 1:
                raise
            reports.append(TargetReport(group.name, error.exit_code, problem=error.problem, remedy=error.remedy))
    if job.steps.summary:
        request.log(job.steps.summary)
    return CompileReport(job.original.name, tuple(reports), notes)


def open_job(request: CompileRequest, groups: Sequence[Group], workdir: Path) -> tuple[Job, tuple[str, ...]]:
    """Reads the recipe, the model and the data, in the order in which mistakes are cheapest to find.

    Raises:
        EdgewrightError: the first thing that is wrong with any of them.
    """
    recipe = read_recipe(request.recipe)
    if request.precision in ("int8", "fp8") and request.data is None and request.eval_data is None:
        raise UsageError(
            f"{request.precision} needs data to find its ranges and to prove its accuracy",
            "Give --data, or --precision fp32.",
        )
    loaded = load_model(
        request.model,
        trust_pickle=request.trust_pickle,
        allow_nonfinite=request.allow_nonfinite,
        shapes=(*recipe.shapes, *request.shapes),
        workdir=workdir,
        keep_program=any("torch" in accepted_forms(target) for group in groups for target in group.targets),
    )
    original = loaded.model
    stages = wanted_stages(recipe, request)
    source = torch_source(loaded, request.model, (*recipe.shapes, *request.shapes), trust=request.trust_pickle)
    require_trainable(source, stages, original.name)
    sets = open_sets(request.data, request.eval_data, original.inputs, recipe.preprocessing, request.seed)
    train = open_train(request, stages, original.inputs, recipe.preprocessing, sets)
    notes = [f"{note.subject}: {note.text}" for note in loaded.notes]
    notes += sets.notes if sets else ()
    if any(target.device != "CPU" for group in groups for target in group.targets):
        sizes, lines = size_ranges(original, loaded.bounds, sets)
        original = replace(original, sizes=sizes)
        notes += lines
    metric = request.metric or recipe.metric or ""
    if sets is not None and not metric:
        chosen = default_metric(original.outputs, sets.prove.labelled)
        metric = chosen.name
        notes.append(f"metric: {metric} ({chosen.reason})")
    executor = ReferenceExecutor(groups[0].targets[0], workdir, this_host().cores)
    notes += _compared_with_torch(loaded, executor)
    golden = None if request.golden is None else open_data(str(request.golden), original.inputs, recipe.preprocessing)
    steps = open_steps(request)
    answers = Answers(executor, original, steps)
    job = Job(
        request,
        recipe,
        original,
        sets,
        metric,
        answers,
        workdir,
        golden=golden,
        program=loaded.program,
        source=source,
        train=train,
        steps=steps,
        memo={} if steps.store is None else KeptMemo(steps),
    )
    for note in notes:
        request.log(note)
    return job, tuple(notes)


def _compared_with_torch(loaded: LoadedModel, executor: ReferenceExecutor) -> list[str]:
    """Holds the exported model to torch's own answers: everything after is compared with the export.

    Raises:
        UnavailableError: the export computes something else.
    """
    if loaded.answers is None:
        return []
    feeds, answers = loaded.answers
    output, error = worst_error(next(iter(executor.run(loaded.model, [feeds]))), answers)
    if error > EXPORT_TOLERANCE:
        raise UnavailableError(
            f"the ONNX export of '{loaded.model.name}' does not compute what torch computes: output '{output}' is"
            f" {error:.3g} off, {EXPORT_TOLERANCE:g} is allowed",
            "The module does something that torch.export or its ONNX exporter gets wrong; export it to ONNX yourself.",
        )
    return [f"the export agrees with torch on its example inputs within {error:.1g}"]


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
        contenders, because = planned(selection, read_plan(job.request.plan))
    contender, proof = _proven(job, selection, contenders)
    if job.request.precision == "auto" and job.request.plan is None:
        why = "the fastest within the limit (search grade)" if contender.lane.presence.timed else "preferred, untimed"
        job.request.log(f"  chosen: {contender.lane.target.name} {contender.trial.choice.title}: {why}")
    latency = check_latency(job, contender, proof)
    slower = slower_than_float(job, selection, contender, proof)
    winner = Winner(contender, proof, latency, (slower,) if slower else (), selection.searched)
    report = conclude(job, group, winner, because)
    return traced(job, winner, report) if job.request.trace else report


def _proven(job: Job, selection: Selection, contenders: Iterator[Contender]) -> tuple[Contender, package.Proof]:
    """The first contender that keeps the limit on the proof set, else the one that misses by least.

    One that held on the selection set and misses here is tuned again to a limit that is stricter by what it missed.
    """
    best: tuple[Contender, package.Proof] | None = None
    for first in contenders:
        contender: Contender | None = first
        for _ in range(1 + RETRIES):
            if contender is None:
                break
            proof = prove(job, contender)
            if best is None or _drop(proof) < _drop(best[1]):
                best = (contender, proof)
            if proof.limits.drop_met is not False:
                return contender, proof
            over = _drop(proof) - job.request.budget.max_drop
            if not contender.holds:
                break
            job.request.log(
                f"  {contender.trial.choice.title} held on the selection set, misses by {over:.4f} when proven"
            )
            contender = selection.stricter(contender, over)
    assert best is not None
    return best


def _drop(proof: package.Proof) -> float:
    return float("inf") if proof.accuracy is None or proof.accuracy.drop is None else proof.accuracy.drop


def _lanes(job: Job, group: Group) -> list[Lane]:
    lanes: list[Lane] = []
    problems: list[EdgewrightError] = []
    elsewhere = all(is_present(target) is not None for target in group.targets)
    for target in group.targets:
        if elsewhere and lanes:
            job.request.log(
                f"  {target.name} is left out: {group.name} is not here and runtimes compete by time; name it"
            )
            continue
        if elsewhere:
            backend_for(target)  # what is not installed is said, not replaced: nothing here could tell what that costs
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
    program = None
    if "onnx" not in backend.accepts:
        program = require_program(job, target)
    require_supported(backend, program or job.original, target)
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
    judge = None if sets is None else Judge(job.metric, job.recipe.decode, job.answers, job.steps)
    here = presence(target, backend)
    variants = {one.name: one for one in job.variants}
    return Lane(
        target,
        here,
        Workshop(backend, site, job.recipe, here.elsewhere, program, variants, job.steps),
        judge,
    )


def require_program(job: Job, target: Target) -> TorchFile:
    """The torch form of the model, for a runtime that takes nothing else.

    Raises:
        UnavailableError: the model was not given as torch.
    """
    if job.program is None:
        raise UnavailableError(
            f"{target.name} takes models in torch form, '{job.original.name}' was given as ONNX",
            "Give the .pt2 file or the module's factory, or choose another runtime.",
        )
    return job.program
