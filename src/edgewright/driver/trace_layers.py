"""The layers of a trace: each one's error against the float twin, its precision, and its time by the engine itself."""

from __future__ import annotations

import math
import re
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from edgewright.backends import LayerTime, open_isolated
from edgewright.benchmarks.trace import NO_ERROR, NO_LAYER_ERRORS, NO_LAYER_TIMES, NO_TIME, LayerTrace
from edgewright.compiler.layer_errors import LayerError, layer_errors
from edgewright.compiler.layers import Layer, layers_of, made_for, main_operator, operator_names
from edgewright.compiler.pass_base import Tunable
from edgewright.core.errors import EdgewrightError
from edgewright.core.model import OnnxModel
from edgewright.driver.conclude import Winner
from edgewright.driver.job import Job
from edgewright.driver.waypoints import Waypoint
from edgewright.driver.workshop import narrowed

SAMPLES = 8
"""Of the proof set; every tensor of each is held in memory for a moment."""
PROFILES = 5
_BEHIND = re.compile(r"/.*|_token_\d+|_nchwc", re.DOTALL)
"""What runtimes put behind the name of the operator that they made a layer of."""


@dataclass(frozen=True)
class LayersFound:
    """The layers in the model's order, over how many samples their errors are, and what is missing."""

    layers: tuple[LayerTrace, ...]
    samples: int | None
    notes: tuple[str, ...]


def trace_layers(job: Job, winner: Winner, on_the_way: Sequence[Waypoint]) -> LayersFound:
    """The layers of the model that was lowered, with what could be found out about each."""
    built = winner.contender.trial.built
    job.request.log("  trace: layers")
    errors: dict[str, LayerError] = {}
    twin, why = _twin(job, winner, on_the_way)
    layers = layers_of(built.model, twin, [note for entry in built.journal for note in entry.notes])
    if twin is not None:
        errors, why = _errors(job, built.model, twin, layers)
    times, untimed = _times(job, winner)
    notes = [
        *([f"{NO_LAYER_ERRORS}{why}"] if why else []),
        *([f"{NO_LAYER_TIMES}{untimed}"] if untimed else []),
    ]
    spared = frozenset(built.choice.kept_float)
    layers = [replace(one, reason="float to keep the accuracy") if one.name in spared else one for one in layers]
    found = [_traced(layer, errors, times, compared=twin is not None and not why) for layer in layers]
    return LayersFound(tuple(found), min(SAMPLES, len(job.sets.prove)) if errors and job.sets else None, tuple(notes))


def _traced(layer: Layer, errors: dict[str, LayerError], times: dict[str, float], *, compared: bool) -> LayerTrace:
    reasons = [layer.reason] if layer.reason else []
    error = errors.get(layer.name)
    if compared and error is None:
        reasons.append(f"{NO_ERROR}the float model has no tensor of that name")
    elif error is not None and not math.isfinite(error.largest):
        reasons.append(f"{NO_ERROR}the two cannot be compared (another shape, or not finite)")
    took = times.get(layer.name)
    if times and took is None:
        reasons.append(f"{NO_TIME}the engine fuses it, or calls it otherwise")
    return LayerTrace(
        name=layer.name,
        op=layer.op,
        precision=layer.precision,
        error=None if error is None else _figure(error.largest),
        time_ns=took,
        reason="; ".join(reasons),
        noise=None if error is None else _figure(error.noise),
    )


def _figure(number: float) -> float | None:
    """Four significant digits; JSON has no infinity."""
    return float(f"{number:.4g}") if math.isfinite(number) else None


def _twin(job: Job, winner: Winner, on_the_way: Sequence[Waypoint]) -> tuple[OnnxModel | None, str]:
    """The model before anything was narrowed, as the pass that narrows prepares it; or why there is none."""
    built, workshop = winner.contender.trial.built, winner.contender.lane.workshop
    if job.sets is None:
        return None, "no data was given"
    first = next((one for one in on_the_way if one.lossy), None)
    if first is None:
        narrow = built.choice.hint != "fp32"
        return None, f"the runtime computes in {built.choice.hint} by itself" if narrow else "no pass narrows numbers"
    if not isinstance(first.pass_, Tunable):
        return first.before, ""
    target = narrowed(workshop.target, built.choice)
    try:
        return first.pass_.float_twin(first.before, replace(workshop.site, target=target)), ""
    except EdgewrightError as error:
        return None, error.problem


def _errors(job: Job, model: OnnxModel, twin: OnnxModel, layers: Sequence[Layer]) -> tuple[dict[str, LayerError], str]:
    """By layer, or why there are none; run by the reference engine, in which every tensor can be seen."""
    if job.sets is None:
        return {}, "no data was given"
    feeds = list(islice(job.sets.prove, SAMPLES))
    try:
        return layer_errors(model, twin, layers, feeds, job.answers.executor.run), ""
    except EdgewrightError as error:
        return {}, error.problem


def _times(job: Job, winner: Winner) -> tuple[dict[str, float], str]:
    """Operator -> median nanoseconds of the engine's layers made of it; or why there are none."""
    contender = winner.contender
    lane, built = contender.lane, contender.trial.built
    if not lane.presence.timed:
        return {}, lane.presence.reason
    feeds = winner.proof.golden.inputs[0]
    try:
        with open_isolated(built.artifact.backend, built.artifact, built.artifact.threads(lane.threads)) as session:
            profiles = [session.profile(feeds) for _ in range(PROFILES)]
    except EdgewrightError as error:
        return {}, error.problem
    names = operator_names(built.model)
    owners = {(one.name, one.kind): _owner(built.model, names, one) for one in profiles[0]}
    totals: dict[str, list[float]] = defaultdict(list)
    for profile in profiles:
        sums: dict[str, float] = defaultdict(float)
        for one in profile:
            if owner := owners.get((one.name, one.kind)):
                sums[owner] += one.time_us * 1e3
        for owner, total in sums.items():
            totals[owner].append(total)
    return {owner: statistics.median(found) for owner, found in totals.items()}, ""


def _owner(model: OnnxModel, names: dict[str, str], layer: LayerTime) -> str | None:
    """The operator that the engine's ``layer`` was made of; None for what the engine added, such as a reordering."""
    if layer.operators:
        return main_operator(model, layer.operators)
    if layer.name in names:
        return made_for(model, names[layer.name], layer.kind)
    fitting = [name for name in names if layer.name.startswith(name) and _BEHIND.fullmatch(layer.name[len(name) :])]
    return made_for(model, names[max(fitting, key=len)], layer.kind) if fitting else None
