"""The layers of the model behind the pass to blame: what each does alone, to the outputs, and in company."""

from __future__ import annotations

from dataclasses import replace

from edgewright.compiler.blame.isolated import Twins
from edgewright.compiler.layer_errors import LayerError, layer_errors
from edgewright.compiler.layers import Layer, layers_of, main_operator
from edgewright.compiler.pass_base import Tunable
from edgewright.core.errors import EdgewrightError, EngineError
from edgewright.core.model import OnnxModel
from edgewright.driver.blame.report import Guilty, LayerRow
from edgewright.driver.blame.scene import Scene, Step
from edgewright.driver.blame.steps import ROUNDING

SHOWN_EFFECTS = 12
"""For so many layers, the worst alone, the effect on the outputs is measured."""


def blamed_layers(scene: Scene, step: Step) -> tuple[tuple[LayerRow, ...], Guilty | None]:
    """The layers behind ``step``, the most harmful first, and the one to blame; reasons for gaps go to the notes."""
    if step.after is None:
        scene.notes.append(f"no layers: there is no model behind {step.row.name}")
        return (), None
    twin = _twin(scene, step)
    layers = layers_of(step.after, twin, step.notes)
    if not layers:
        scene.notes.append("no layers: nothing in this model computes, it only moves and converts")
        return (), None
    twins = Twins(step.after, twin, layers, scene.feeds, scene.run)
    accumulated: dict[str, LayerError] = {}
    try:
        accumulated = layer_errors(step.after, twin, layers, scene.feeds, scene.run)
    except EngineError as error:
        scene.notes.append(f"no accumulated errors of layers: {error.problem}")
    alone = twins.errors()
    effects = _effects(scene, twins, alone)
    missing = [layer.name for layer in twins.known if layer.name not in alone]
    if missing:
        scene.notes.append(f"{len(missing)} layers cannot be run alone, such as {missing[0]}")
    rows = [_row(twins, layer, alone, effects, accumulated) for layer in twins.known]
    rows.sort(key=_harm, reverse=True)
    return tuple(rows), _guilty(rows)


def _twin(scene: Scene, step: Step) -> OnnxModel:
    """The model before the step, as the pass itself prepares it."""
    pass_: object = step.pass_
    if not isinstance(pass_, Tunable):
        return step.before
    try:
        return pass_.float_twin(step.before, scene.site)
    except EdgewrightError as error:
        scene.notes.append(f"layers are compared with the model before {step.row.name} as it was: {error.problem}")
        return step.before


def _effects(scene: Scene, twins: Twins, alone: dict[str, LayerError]) -> dict[str, LayerError]:
    harmful = [layer for layer in twins.known if layer.name in alone and alone[layer.name].noise > 0.0]
    worst = sorted(harmful, key=lambda layer: alone[layer.name].noise, reverse=True)[:SHOWN_EFFECTS]
    try:
        found = twins.effects(worst)
    except EngineError as error:
        scene.notes.append(f"the effects of layers on the outputs are not known: {error.problem}")
        return {}
    if missing := [layer.name for layer in worst if layer.name not in found]:
        scene.notes.append(
            f"what {', '.join(missing)} do to the outputs is not known: the float model cannot be run so"
        )
    return found


def _row(
    twins: Twins,
    layer: Layer,
    alone: dict[str, LayerError],
    effects: dict[str, LayerError],
    accumulated: dict[str, LayerError],
) -> LayerRow:
    """Named after the operator that multiplies, of those that share one error."""
    known = {one.name: one for one in twins.layers}
    region = [name for name in twins.region(layer) if name in known]
    main = known.get(main_operator(twins.model, region) or "", layer) if len(region) > 1 else layer
    others = tuple(name for name in region if name != main.name)
    row = LayerRow(
        name=main.name,
        op=main.op,
        precision=main.precision,
        alone=_noise(alone, layer),
        effect=_noise(effects, layer),
        accumulated=_noise(accumulated, layer),
        including=others,
    )
    return row if layer.name in alone else replace(row, note="it cannot be run alone")


def _noise(errors: dict[str, LayerError], layer: Layer) -> float | None:
    return errors[layer.name].noise if layer.name in errors else None


def _harm(row: LayerRow) -> tuple[float, float, float]:
    return (row.effect or 0.0, row.alone or 0.0, row.accumulated or 0.0)


def _guilty(rows: list[LayerRow]) -> Guilty | None:
    """The first of ``rows`` that moves anything."""
    if not rows or max(_harm(rows[0])[:2]) <= ROUNDING:
        return None
    worst = rows[0]
    second = f"; the next is {rows[1].name}" if len(rows) > 1 else ""
    if worst.effect:
        after = f" by {rows[1].effect:.3g}" if len(rows) > 1 and rows[1].effect is not None else ""
        because = f"alone it moves the model's outputs by {worst.effect:.3g} of their size, the most of any layer"
        return Guilty(worst.name, f"{because} ({worst.alone:.3g} of its own result{second}{after})")
    after = f" with {rows[1].alone:.3g}" if len(rows) > 1 and rows[1].alone is not None else ""
    return Guilty(
        worst.name, f"alone it is {worst.alone:.3g} of its own result off, the most of any layer{second}{after}"
    )
