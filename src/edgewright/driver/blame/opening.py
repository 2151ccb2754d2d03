"""Opens what is to be looked at: a model whose passes are run again, or a bundle beside the model it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

from edgewright.compiler.intake.onnx_file import read_onnx
from edgewright.compiler.numeric_gate import Comparison, Gate
from edgewright.compiler.pass_base import Stage, registry
from edgewright.core.bundle import Bundle, open_bundle
from edgewright.core.errors import BadInputError, EdgewrightError, EngineError, UnavailableError, UsageError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds
from edgewright.driver.blame.report import PassRow
from edgewright.driver.blame.request import BlameRequest
from edgewright.driver.blame.scene import Scene, Step
from edgewright.driver.blame.steps import chosen, engine_row, walk
from edgewright.driver.choice import Choice
from edgewright.driver.compile import open_job, open_lane
from edgewright.driver.job import Job, Lane
from edgewright.driver.outputs import Group, output_groups
from edgewright.driver.plan_file import read_plan
from edgewright.driver.recipe import Recipe
from edgewright.driver.request import CompileRequest
from edgewright.driver.samples import SyntheticSamples
from edgewright.driver.sizes import usual_inputs
from edgewright.driver.workshop import narrowed
from edgewright.targets.parse import target_from_json
from edgewright.targets.schema import Target

_NOT_WRITTEN = Path("nothing.ewb")
_MADE_UP = 4


def model_scene(request: BlameRequest, workdir: Path) -> Scene:
    """The passes of a compile of the model, run one at a time.

    Raises:
        EdgewrightError: the first thing that is wrong with the model, the data or the options.
    """
    if request.data is None and request.eval_data is None and request.check is None:
        raise UsageError(
            "there is no data: which pass and which layer hurts accuracy shows on real samples alone",
            "Give --data, or a --check that judges models by itself.",
        )
    if request.against is not None:
        raise UsageError(f"--against is for bundles, and {request.subject} is a model", "Leave it out.")
    group = output_groups(_compile_request(request, request.subject), create=False)[0]
    job, lane = _opened(request, request.subject, group.targets[0], workdir)
    choice = chosen(lane.target, request.precision, data=job.sets is not None)
    scene = _scene(request, job, lane, choice)
    if len(group.targets) > 1:
        others = ", ".join(one.runtime for one in group.targets[1:])
        scene.notes.append(
            f"of {group.name}'s runtimes only {lane.target.runtime} is looked at; --target names {others}"
        )
    if _runs(scene, request):
        engine_row(scene, lane, choice, walk(scene, lane.workshop.pipeline(choice).passes))
    return scene


def bundle_scene(request: BlameRequest, workdir: Path) -> Scene:
    """What a bundle holds beside the model it was made from; with data, the passes of its plan too.

    Raises:
        UsageError: the model is missing, or is another one.
        UnavailableError: the bundle holds no model that can be looked into, and there is no data to make it again.
    """
    bundle = open_bundle(Path(request.subject))
    manifest = bundle.manifest
    if request.against is None:
        raise UsageError(
            f"{request.subject} does not hold the model it was compiled from ({manifest.model.name},"
            f" digest {manifest.model.digest[:12]})",
            "Give that model with --against MODEL.",
        )
    target = target_from_json(manifest.target.description)
    form = _onnx_form(bundle, workdir)
    if form is None and request.data is None and request.eval_data is None:
        raise UnavailableError(
            f"{request.subject} holds no ONNX form of its engine ({manifest.backend.name}), whose layers could be seen",
            "Give the --data it was compiled with: its passes are run again then.",
        )
    job, lane = _opened(request, request.against, target, workdir)
    if job.original.digest != manifest.model.digest:
        raise UsageError(
            f"{request.against} is not what {request.subject} was compiled from: its digest is"
            f" {job.original.digest[:12]}, the manifest says {manifest.model.digest[:12]} ({manifest.model.name})",
            "Give that model, with the --shape and --recipe it was compiled with.",
        )
    choice = read_plan(Path(request.subject)).choice
    if job.sets is None or choice.variant:
        scene = _scene(request, job, lane, choice, _golden(bundle))
        scene.notes += _told_by(bundle, trained=bool(choice.variant))
        last = scene.original
    else:
        scene = _scene(request, job, lane, choice)
        last = walk(scene, lane.workshop.pipeline(choice).passes)
    if form is not None:
        row = scene.measured(PassRow(bundle.path.name, "bundle"), last, form)
        scene.steps.append(Step(row, last, form))
    elif job.sets is not None:
        scene.notes.append(
            f"the bundle's own engine ({manifest.backend.name}) cannot be looked into: its passes were run again"
        )
        engine_row(scene, lane, choice, last)
    return scene


def _runs(scene: Scene, request: BlameRequest) -> bool:
    """Whether the original can be run; with a check it need not, which may be the very failure that is looked for.

    Raises:
        EngineError: it cannot, and there is no check.
    """
    try:
        scene.answers(scene.original)
    except EngineError as error:
        if request.check is None:
            raise
        scene.notes.append(f"no pass was run: the model as it was given cannot be run: {error.problem}")
        return False
    return True


def _compile_request(request: BlameRequest, model: str) -> CompileRequest:
    return CompileRequest(
        model=model,
        targets=(request.target,),
        out=_NOT_WRITTEN,
        data=request.data,
        eval_data=request.eval_data,
        metric=request.metric,
        precision=request.precision,
        shapes=request.shapes,
        recipe=request.recipe,
        seed=request.seed,
        trust_pickle=request.trust_pickle,
        allow_nonfinite=request.allow_nonfinite,
        log=request.log,
    )


def _opened(request: BlameRequest, model: str, target: Target, workdir: Path) -> tuple[Job, Lane]:
    group = Group(target.name, (target,), _NOT_WRITTEN)
    job, _ = open_job(_compile_request(request, model), [group], workdir)
    lane = open_lane(job, target)
    if lane.workshop.program is not None:
        raise UnavailableError(
            f"{target.name} takes models in torch form: no pass runs, and nothing of it can be seen",
            "Choose another --target, such as native/onnxruntime.",
        )
    return job, lane


def _scene(request: BlameRequest, job: Job, lane: Lane, choice: Choice, feeds: list[Feeds] | None = None) -> Scene:
    """Everything but the steps."""
    site = replace(lane.workshop.site, target=narrowed(lane.target, choice), log=lambda _line: None)
    reason = Comparison(site, Gate()).absence(job.original) if job.sets is not None else None
    if reason is not None and request.check is None:
        raise UnavailableError(f"nothing can be compared: {reason}", "Give a --check that judges models by itself.")
    notes = []
    of_proof = feeds is None and job.sets is not None
    if feeds is None and job.sets is not None:
        feeds = list(islice(job.sets.prove, request.samples))
    if feeds is None:
        feeds = list(SyntheticSamples(usual_inputs(job.original), min(_MADE_UP, request.samples), request.seed))
        notes.append(f"no data: the check is asked with {len(feeds)} samples that were made up")
    if stages := _trained(job.recipe):
        notes.append(f"not run: {', '.join(stages)}; only what is done to the graph is looked at")
    return Scene(
        original=job.original,
        target=lane.target.name,
        precision=choice.title,
        feeds=feeds,
        run=job.answers.executor.run,
        site=site,
        log=request.log,
        judge=lane.judge,
        proof=None if job.sets is None else job.sets.prove,
        of_proof=of_proof,
        notes=notes,
    )


def _trained(recipe: Recipe) -> list[str]:
    """Stages of the recipe that change torch modules."""
    named = [one.name for one in recipe.passes if not one.skip]
    return [name for name in named if registry().find(name).stage < Stage.EXPORT]


def _golden(bundle: Bundle) -> list[Feeds]:
    feeds = [dict(one) for one in bundle.golden().inputs]
    if not feeds:
        raise BadInputError(f"{bundle.path} holds no golden samples", "Give --data.")
    return list(feeds)


def _onnx_form(bundle: Bundle, workdir: Path) -> OnnxModel | None:
    """The model that the engine is, or was built from; None where there is none, or it cannot be read."""
    names = [name for name in bundle.engine_files if name.endswith(".onnx")]
    entry = bundle.manifest.backend.entry
    if not names:
        return None
    bundle.extract_engine(workdir / "engine")
    try:
        return read_onnx(workdir / "engine" / (entry if entry in names else names[0]), allow_nonfinite=True)
    except EdgewrightError:
        return None


def _told_by(bundle: Bundle, *, trained: bool) -> list[str]:
    """What the journal says, where the passes are not run again; and what that leaves open."""
    notes = ["the bundle is compared with the original as a whole: its journal's figures stand in for those of passes"]
    if trained:
        notes = [
            "the bundle starts from a model that training made, which is not here: it is compared with the original"
        ]
    entries = bundle.journal.get("passes")
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, Mapping) or not entry.get("changed"):
            continue
        figures = [
            f"{word} {entry[word]}" for word in ("error", "drop", "rejected") if entry.get(word) not in (None, "")
        ]
        notes.append(f"journal: {entry.get('pass')} ({entry.get('effect')}): {', '.join(figures) or 'no figure'}")
        options = entry.get("options")
        if isinstance(options, Mapping) and options.get("smooth"):
            notes.append(
                "channels may have been evened out, which the original's layers do not show: their errors seem larger"
                " than they are; with --data they are compared with the float form that was quantised"
            )
    return notes
