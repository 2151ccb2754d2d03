"""One search for the guilty: the pass, the layer, and on failure the smallest piece that still fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgewright.compiler.blame.extraction import Piece
from edgewright.core.errors import EngineError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Feeds
from edgewright.core.workdir import working_folder
from edgewright.driver.blame.judges import AFTER, CheckJudge, PassJudge
from edgewright.driver.blame.layers import blamed_layers
from edgewright.driver.blame.opening import bundle_scene, model_scene
from edgewright.driver.blame.report import BlameReport, Guilty, LayerRow, PassRow, Reproducer
from edgewright.driver.blame.reproducer import reproduce, written
from edgewright.driver.blame.request import BlameRequest
from edgewright.driver.blame.scene import Scene
from edgewright.driver.blame.steps import guilty_pass

_SAID_SHOWN = 300


def blame(request: BlameRequest, *, is_bundle: bool = False) -> BlameReport:
    """Looks for the pass and the layer that hurt accuracy most, and where something fails, for the smallest piece.

    Raises:
        EdgewrightError: whatever keeps it from looking, in one message.
    """
    request.require_room()
    with working_folder() as workdir:
        scene = (bundle_scene if is_bundle else model_scene)(request, workdir)
        return look(scene, request, workdir)


def look(scene: Scene, request: BlameRequest, workdir: Path) -> BlameReport:
    """The report on what was opened.

    Raises:
        UsageError: the check cannot be run, or does not end.
    """
    failed, reproducer = "", None
    if request.check is not None:
        judge = CheckJudge(request.check, request.check_seconds, workdir)
        failed, reproducer = _by_check(scene, request, judge)
    else:
        failed, reproducer = _by_pass(scene, request)
    if request.out is not None and not failed:
        scene.notes.append(f"nothing fails, so nothing was written to {request.out}")
    rows = [step.row for step in scene.steps]
    guilty = guilty_pass([*rows, *scene.extra])
    layers, guilty_layer = _layers(scene, guilty)
    try:
        value = scene.score(scene.original)
    except EngineError:
        value = None
    first = PassRow("original", "original", value=None if value is None else value.value)
    if request.check is not None:
        behind = any(row.check == "fails" for row in rows)
        first = replace(first, check="good" if behind or not failed else "fails")
    return BlameReport(
        model=scene.original.name,
        target=scene.target,
        precision=scene.precision,
        metric="" if value is None else value.metric,
        samples=len(scene.feeds),
        proof_samples=0 if value is None else value.n,
        passes=(first, *rows, *scene.extra),
        guilty_pass=guilty,
        layers=layers,
        guilty_layer=guilty_layer,
        failed=failed,
        reproducer=reproducer,
        notes=tuple(scene.notes),
    )


def _layers(scene: Scene, guilty: Guilty | None) -> tuple[tuple[LayerRow, ...], Guilty | None]:
    """Of the pass to blame; of the last one where none is."""
    named = None if guilty is None else guilty.name
    step = next((one for one in scene.steps if one.row.name == named), None)
    if step is None and guilty is not None:
        scene.notes.append(f"no layers: {guilty.name} is no pass, its tensors cannot be seen")
        return (), None
    if step is None:
        return (), None
    scene.log(f"layers behind {step.row.name}")
    return blamed_layers(scene, step)


def _by_pass(scene: Scene, request: BlameRequest) -> tuple[str, Reproducer | None]:
    """The first pass that is beyond what it allows itself."""
    step = next((one for one in scene.steps if one.row.failed and one.pass_ is not None), None)
    if step is None:
        return "", None
    assert step.pass_ is not None
    failed = f"pass '{step.row.name}' fails: {step.row.failed}"
    if request.out is None:
        scene.notes.append("give -o FOLDER to have the smallest piece that still fails cut out")
        return failed, None
    judge = PassJudge(step.pass_, scene, raises=step.after is None)
    scene.log(f"looking for the smallest piece on which {step.row.name} fails")
    for feeds in scene.feeds:
        found = reproduce(scene, Piece(step.before, feeds), judge.fails)
        if found is not None:
            piece, reproducer = found
            after = judge.after(piece)
            text = f"{failed}.\nmodel.onnx is what the pass was given"
            text += f", {AFTER} what it makes of that: compare their answers." if after is not None else "."
            return failed, written(request.out, piece, reproducer, text, after)
    scene.notes.append(f"no reproducer: {step.row.name} does not fail again on any of the samples by itself")
    return failed, None


def _by_check(scene: Scene, request: BlameRequest, judge: CheckJudge) -> tuple[str, Reproducer | None]:
    """Asks the check about the original and what is shipped, and bisects the passes between where that fails."""
    scene.log("the check: the original")
    whole = _failing(scene, judge, scene.original, scene.feeds)
    if whole is not None:
        return _cut(scene, request, judge, whole, "on the model as it was given")
    chain = [place for place, step in enumerate(scene.steps) if step.after is not None and not step.row.failed]
    if len(chain) < len(scene.steps):
        scene.notes.append("the check is not asked behind passes that fail by themselves: a compile leaves them out")
    first = _first_failing(scene, judge, chain)
    if first is None:
        scene.notes.append("the check passes on the whole model, as it was given and behind all passes: nothing fails")
        return "", None
    place, whole = first
    return _cut(scene, request, judge, whole, f"behind {scene.steps[place].row.name}")


def _first_failing(scene: Scene, judge: CheckJudge, chain: Sequence[int]) -> tuple[int, Piece] | None:
    """The step of ``chain`` behind which the check begins to fail, by bisection; None where it is good at the end."""
    if not chain:
        return None
    found = _asked(scene, judge, chain[-1], scene.feeds)
    if found is None:
        return None
    low, high = 0, len(chain) - 1
    while low < high:  # it fails behind chain[high]
        middle = (low + high) // 2
        earlier = _asked(scene, judge, chain[middle], [found.feeds])
        if earlier is None:
            low = middle + 1
        else:
            high, found = middle, earlier
    return chain[high], found


def _asked(scene: Scene, judge: CheckJudge, place: int, feeds: Sequence[Feeds]) -> Piece | None:
    """The model behind a step where the check fails; the step's row says what came out."""
    step = scene.steps[place]
    assert step.after is not None
    scene.log(f"the check: behind {step.row.name}")
    whole = _failing(scene, judge, step.after, feeds)
    scene.steps[place] = replace(step, row=replace(step.row, check="good" if whole is None else "fails"))
    return whole


def _failing(scene: Scene, judge: CheckJudge, model: OnnxModel, samples: Sequence[Feeds]) -> Piece | None:
    """The model with the first of ``samples`` that the check fails with."""
    for feeds in samples:
        whole = Piece(model, feeds)
        verdict = judge.verdict(whole)
        if verdict.fails:
            said = f"the check said: {verdict.said[-_SAID_SHOWN:]}"
            if verdict.said and said not in scene.notes:
                scene.notes.append(said)
            return whole
    return None


def _cut(
    scene: Scene, request: BlameRequest, judge: CheckJudge, whole: Piece, where: str
) -> tuple[str, Reproducer | None]:
    failed = f"the check fails {where}"
    if request.out is None:
        scene.notes.append("give -o FOLDER to have the smallest piece that still fails cut out")
        return failed, None
    scene.log("looking for the smallest piece that still fails the check")
    found = reproduce(scene, whole, judge.fails)
    if found is None:
        scene.notes.append("no reproducer: the check does not fail again with the same model and inputs")
        return failed, None
    piece, reproducer = found
    text = f"{failed}.\nThe check: {judge.command} model.onnx inputs.npz"
    return failed, written(request.out, piece, reproducer, text)
