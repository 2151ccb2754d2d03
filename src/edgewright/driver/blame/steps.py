"""The passes of one candidate, run one at a time: what each does to the answers and to the metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from edgewright.backends import open_isolated
from edgewright.compiler.numeric_gate import Gate
from edgewright.compiler.pass_base import Effect
from edgewright.compiler.pipeline import AnyPass, PassError, run_pipeline
from edgewright.core.errors import EdgewrightError, UnavailableError
from edgewright.core.model import OnnxModel
from edgewright.driver.blame.report import Guilty, PassRow
from edgewright.driver.blame.scene import Scene, Step, moved
from edgewright.driver.choice import CODED, Choice, coded_choices, float_choices
from edgewright.driver.job import Lane
from edgewright.driver.reference import BACKEND
from edgewright.driver.workshop import narrowed
from edgewright.targets.schema import Target

UNPROVEN = Gate(samples=0, worst_layer=False)
"""Passes are let through here: what they do is what is asked."""
ROUNDING = 1e-5
"""Answers that move by less than this moved because sums were rounded in another order."""


def chosen(target: Target, precision: str, *, data: bool) -> Choice:
    """The first choice of ``target`` in ``precision``; ``auto`` is int8 where that can be had, else its simplest float.

    Raises:
        UnavailableError: the target has no such precision.
    """
    floats, coded = float_choices(target), coded_choices(target) if data else []
    if precision == "auto":
        return next((one for one in coded if one.precision == "int8"), floats[0])
    found = next((one for one in [*floats, *coded] if one.precision == precision), None)
    if found is None:
        have = dict.fromkeys([*(one.precision for one in floats), *(CODED if not data else [])])
        have.update(dict.fromkeys(one.precision for one in coded))
        raise UnavailableError(f"{target.name} has no {precision}", f"It has {', '.join(have)}.")
    return found


def walk(scene: Scene, passes: Sequence[AnyPass]) -> OnnxModel:
    """Runs ``passes`` and adds a step for each that changed the model, or failed to.

    Returns:
        The model that stands at the end: as a compile does, a pass that fails is left out.

    Raises:
        EdgewrightError: what a pass says to the user.
    """
    model, idle = scene.original, []
    for one in passes:
        step = _step(scene, one, model)
        if step is None:
            idle.append(one.name)
            continue
        scene.steps.append(step)
        shown = "fails" if step.row.failed else f"answers move by {step.row.moved or 0.0:.2g}"
        scene.log(f"  {one.name}: {shown}")
        if step.after is not None and not step.row.failed:
            model = step.after
    if idle:
        scene.notes.append(f"passes that changed nothing: {', '.join(idle)}")
    return model


def _step(scene: Scene, one: AnyPass, model: OnnxModel) -> Step | None:
    exact = one.effect is Effect.EXACT
    row = PassRow(one.name, one.effect.value, tolerance=one.tolerance if exact else None)
    try:
        after, (entry,) = run_pipeline([one], model, scene.site, UNPROVEN)
    except PassError as error:
        return Step(replace(row, failed=error.problem), model, None, one)
    if entry.rejected:
        return Step(replace(row, failed=entry.rejected), model, None, one, entry.notes)
    if after is model:
        return None
    assert isinstance(after, OnnxModel)
    row = scene.measured(row, model, after)
    if exact and row.largest is not None and row.largest > one.tolerance:
        row = replace(
            row, failed=f"its answers move by {row.largest:.3g} of their largest value, it allows {one.tolerance:g}"
        )
    return Step(row, model, after, one, entry.notes)


def engine_row(scene: Scene, lane: Lane, choice: Choice, model: OnnxModel) -> None:
    """Adds what the target's engine makes of ``model``, where that is not the reference engine itself."""
    target, workshop = lane.target, lane.workshop
    if target.runtime == BACKEND and target.device == "CPU":
        return
    row = PassRow(f"{target.name} engine", "engine")
    if not lane.presence.runnable:
        scene.notes.append(f"the engine was not asked: {lane.presence.reason}")
        return
    scene.log(f"  {row.name}")
    try:
        artifact = workshop.openable(workshop.lowered(model, narrowed(target, choice), workshop.hint(choice)))
        with open_isolated(artifact.backend, artifact, lane.threads) as session:
            answers = [dict(one) for one in session.run_many(scene.feeds)]
        after = None
        if lane.judge is not None and scene.proof is not None:
            after = lane.judge.score(artifact, scene.proof, lane.threads)
    except EdgewrightError as error:
        scene.extra.append(replace(row, note=f"it cannot be asked: {error.problem}"))
        return
    own, away = moved(answers, scene.answers(model)), moved(answers, scene.answers(scene.original))
    row = replace(row, moved=own.noise, away=away.noise, largest=own.largest)
    scene.extra.append(scene.judged(row, scene.score(model), after))


def guilty_pass(rows: Sequence[PassRow]) -> Guilty | None:
    """The row that hurts accuracy most: by the metric where a loss is beyond chance, else by how far answers move."""
    broken = next((row for row in rows if row.check == "fails"), None)
    if broken is not None:
        return Guilty(broken.name, "the check is good before it and fails behind it")
    lost = [row for row in rows if row.loss is not None and row.chance is not None and row.loss > max(row.chance, 0.0)]
    unrun = next((row for row in rows if row.failed and row.moved is None), None)
    if unrun is not None:
        return Guilty(unrun.name, unrun.failed)
    if lost:
        worst = max(lost, key=lambda row: row.loss or 0.0)
        return Guilty(
            worst.name, f"the metric loses {worst.loss:.4f} at it, more than at any other step and than chance explains"
        )
    far = [row for row in rows if row.moved is not None and row.moved > ROUNDING]
    if not far:
        return None
    worst = max(far, key=lambda row: row.moved or 0.0)
    return Guilty(
        worst.name,
        f"the answers move by {worst.moved:.3g} of their size at it, more than at any other step;"
        " no step's loss of the metric is beyond chance",
    )
