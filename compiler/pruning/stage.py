"""The pruning stage: narrows a module, round by round, until it is as fast (or as small) as was asked for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from edgewright.compiler.pass_base import Note
from edgewright.compiler.pruning.allocate import Allocation, allocate
from edgewright.compiler.pruning.answers import BATCH_ROWS, Batches, answers_of, batches_of, error_for, output_error
from edgewright.compiler.pruning.blocks import find_blocks
from edgewright.compiler.pruning.depth import block_to_leave_out, time_blocks
from edgewright.compiler.pruning.extents import read_extents
from edgewright.compiler.pruning.goals import Limits, limits_of
from edgewright.compiler.pruning.latency_table import LatencyTable, candidates, read_table
from edgewright.compiler.pruning.options import PruneOptions, effective_goal, format_widths, parse_widths
from edgewright.compiler.pruning.rounds import (
    Recipe,
    begin,
    curves_of,
    left_out,
    next_round,
    steps_of,
    with_damage,
    without_block,
)
from edgewright.compiler.pruning.search import MOST_UNDONE, Search, met, shortfall, widths_so_far
from edgewright.compiler.pruning.taking import take
from edgewright.compiler.site import Absent, Goal
from edgewright.compiler.torch_stage.context import Progress, StageContext, StoppedError
from edgewright.compiler.torch_stage.request import StageResult
from edgewright.compiler.torch_stage.state import save_state
from edgewright.core.errors import UsageError

_MORE_ROUNDS = 4
"""Rounds beyond those asked for, where predictions fell short of what was measured."""
_SPARED, _FAR = 0.3, 0.5
"""Share of the time that narrowing could gain which is left where the goal is far out of reach anyway (by so much of
it, and less where it is nearer): the last of it costs the most accuracy."""


def prune(context: StageContext) -> StageResult:
    """Makes ``context.module`` narrower, as its options and the goal ask for.

    Raises:
        UsageError: there is no data to see by what a cut does.
        StoppedError: it was asked to end; what was timed is kept.
    """
    options = context.options
    assert isinstance(options, PruneOptions)
    started = time.monotonic()
    goal = effective_goal(context.goal, options)
    if goal is None and not options.widths:
        return StageResult(0, (Note("skipped", "", "no goal was stated: nothing is pruned"),))
    batches, judged = _data(context, options.samples)
    keep = (*context.keep, *options.keep)
    error = error_for(context.metric, answers_of(context.module, judged[:1]))
    recipe = Recipe(context.example_inputs, batches, judged, keep, context.target.channel_multiple, options, error)
    state = begin(context.module, recipe)
    skipped = (*state.structure.refused, *left_out(state, options))
    notes = [Note("skipped", path, reason) for path, reason in skipped]
    blocks = find_blocks(context.module, batches, keep) if options.cuts != "channels" or options.widths else ()
    if not state.structure.groups and not blocks:
        what = notes[0].text if notes else "it has no convolution or linear layer between others"
        where = f"'{notes[0].subject:.100}': " if notes and notes[0].subject else ""
        return StageResult(0, (*notes, Note("warning", "", f"nothing of this model can be pruned: {where}{what}")))
    first = context.example_inputs[0]
    plans = {group.name: state.structure.plans[group.name] for group in state.structure.groups}
    rows = first.shape[0] if first.dim() else 1
    extents = read_extents(context.module, context.example_inputs, plans, rows, [block.path for block in blocks])
    search = Search(context, recipe, extents, state, {block.path: block for block in blocks}, notes=notes)
    if options.widths:
        _repeat(search, parse_widths(options.widths))
    else:
        assert goal is not None
        _pursue(search, goal)
    return _conclude(search, time.monotonic() - started)


def _data(context: StageContext, samples: int) -> tuple[Batches, Batches]:
    """What cuts are made up for from, and what their damage is seen on.

    The first are training samples, or those of calibration. The second are those that choices are made on, for they
    have nothing to do with the first; else those of calibration, or two halves of what there is, where that is enough.
    """
    train, calibration, select = context.train, context.calibration, context.select
    if isinstance(train, Absent) and isinstance(calibration, Absent):
        raise UsageError("pruning has no data to see by what a cut does", "Give --data: inputs, no labels are needed.")
    if not isinstance(select, Absent):
        data = calibration if isinstance(train, Absent) else train
        assert not isinstance(data, Absent)
        return batches_of(data, context.inputs, samples), batches_of(select, context.inputs, samples)
    if isinstance(train, Absent) or isinstance(calibration, Absent):
        data = calibration if isinstance(train, Absent) else train
        assert not isinstance(data, Absent)
        count = min(samples, len(data))
        rows = BATCH_ROWS if count >= 2 * BATCH_ROWS else max(1, count // 2)
        batches = batches_of(data, context.inputs, samples, rows)
        return (batches[::2], batches[1::2]) if len(batches) > 1 else (batches, batches)
    return batches_of(train, context.inputs, samples), batches_of(calibration, context.inputs, samples)


def _repeat(search: Search, plan: Mapping[str, tuple[int, ...]]) -> None:
    """Cuts to the widths of a plan, round by round; measures nothing."""
    if unknown := sorted(plan.keys() - search.extents.units.keys()):
        known = ", ".join(search.extents.units)
        raise UsageError(f"widths: '{unknown[0]:.100}' is no group of this model", f"Its groups: {known:.2000}.")
    if whole := [name for name, rounds in plan.items() if name not in search.blocks and rounds[-1] < 1]:
        raise UsageError(f"widths: nothing would be left of '{whole[0]:.100}'", "Only whole blocks can be at 0.")
    for number in range(max(len(rounds) for rounds in plan.values())):
        targets = {name: rounds[min(number, len(rounds) - 1)] for name, rounds in plan.items()}
        for path, block in search.blocks.items():
            if targets.get(path) == 0 and widths_so_far(search).get(path) != 0:
                search.state = without_block(search.state, block, search.recipe)
                search.rounds.append({**widths_so_far(search), path: 0})
        now = search.state.widths
        narrower = {name: min(now[name], width) for name, width in targets.items() if name in now}
        if any(width < now[name] for name, width in narrower.items()):
            search.state = next_round(search.state, {**now, **narrower}, search.recipe)
            search.rounds.append({**widths_so_far(search), **narrower})


def _pursue(search: Search, goal: Goal) -> None:
    limits = _prepare(search, goal)
    if limits is None:
        return
    steps = search.recipe.options.steps
    stated = limits
    if stated.latency_ms:
        limits = stated.relaxed(1 - search.recipe.options.undercut)
    start = max(limits.costs(search.models)({}).values())
    if start <= 1:
        search.notes.append(Note("skipped", "", "the model meets the goal as it is"))
        return
    limits = _within_reach(search, stated, limits)
    start = max(limits.costs(search.models)({}).values())
    for number in range(1, steps + _MORE_ROUNDS + 1):
        if search.context.stopping():
            raise StoppedError
        aim = start ** (1 - min(number / steps, 1.0))
        chosen = _decide(search, limits, aim, number / (steps + 1))
        # The first few channels are always cheaper than a block: what counts is what they cost at the end of the way.
        while block := block_to_leave_out(search, limits, aim, _decide(search, limits, 1.0, number / (steps + 1))):
            take(search, limits, without_block(search.state, block, search.recipe), {block.path: 0}, number)
            chosen = _decide(search, limits, aim, number / (steps + 1))
        if chosen.widths != search.state.widths:
            take(search, limits, next_round(search.state, chosen.widths, search.recipe), chosen.widths, number)
        elif aim <= 1:
            break
        if met(search, limits) or search.undone > MOST_UNDONE:
            break
    if not met(search, stated):
        search.notes.append(Note("warning", "", shortfall(search, stated)))


def _within_reach(search: Search, stated: Limits, limits: Limits) -> Limits:
    """``limits``, or what comes near them where predictions say that they cannot be had."""
    least = {
        name: widths[-1]
        for name, widths in steps_of(search.state, search.extents.units, search.recipe).items()
        if widths
    }

    def narrowest(of: Limits) -> float:
        return max(of.costs(search.models)(least).values()) * search.without_blocks(of)

    at_best = narrowest(limits)
    if at_best <= 1:
        return limits
    if (share := narrowest(stated)) < 1:  # what was stated can be had, if not as much below it as was asked for
        return stated.relaxed((1 + share) / 2)
    start = max(limits.costs(search.models)({}).values())
    factor = at_best + (start - at_best) * _SPARED * min(1.0, (at_best - 1) / _FAR)
    text = "the goal is out of reach: with every group as narrow as may be it would be missed"
    search.notes.append(Note("warning", "", f"{text} by what its groups were timed at; most of that gain is taken"))
    return limits.relaxed(factor)


def _prepare(search: Search, goal: Goal) -> Limits | None:
    """Times the model and its groups where that can be done, and gives what the goal comes to."""
    context = search.context
    in_latency = goal.latency_ms is not None or goal.latency_ratio is not None or bool(goal.limits_ms)
    if isinstance(context.measure, Absent):
        if in_latency:
            proxy = "multiplications stand in for it" if goal.latency_ratio is not None else "nothing is pruned"
            search.notes.append(Note("warning", "", f"latency cannot be measured ({context.measure.reason}): {proxy}"))
        return limits_of(goal, search.extents, {})
    search.template = search.latest = context.export(context.module)
    steps = steps_of(search.state, search.extents.units, search.recipe)
    wanted = candidates(search.extents, steps) if in_latency else []
    # Weights do not matter to time: no candidate is made up for.
    margin = search.recipe.options.margin
    table = read_table(
        context, search.template, lambda name, width: search.state.cut({name: width}, made_up=False), wanted, margin
    )
    search.full_ms = search.latest_ms = table.full_ms
    search.noise = max(table.noise, margin / 2)
    search.models, search.barred = table.models(search.extents, margin), table.barred(margin)
    search.timings.append({"table": table.to_json()})
    if in_latency:
        time_blocks(search)
    _note_table(search, table, steps, in_latency=in_latency)
    limits = limits_of(goal, search.extents, table.full_ms)
    if limits is None:
        search.notes.append(Note("warning", "", "no target of this compile could be timed: nothing is pruned"))
    return limits


def _note_table(search: Search, table: LatencyTable, steps: Mapping[str, tuple[int, ...]], *, in_latency: bool) -> None:
    for name, widths in search.barred.items():
        text = f"{sorted(widths)} units measured no faster than a wider one: never taken"
        search.notes.append(Note("skipped", name, text))
    measured = {entry.group for entry in table.entries}
    if in_latency and (rest := [name for name in steps if name not in measured]):
        text = f"{len(rest)} of {len(steps)} groups are too small to be timed alone: their time is estimated"
        search.notes.append(Note("skipped", rest[0], text))


def _decide(search: Search, limits: Limits, aim: float, done: float) -> Allocation:
    """The widths of the next round, and what they are thought to come to."""
    steps = steps_of(search.state, search.extents.units, search.recipe)

    def progress(share: float, name: str) -> None:
        search.context.progress(Progress(min(0.4 + 0.6 * done, 0.99), f"what {name} does to the answers ({share:.0%})"))

    macs = search.extents.macs(search.state.widths)
    search.state = with_damage(search.state, steps, search.recipe, macs, progress)
    curves = curves_of(search.state, steps, search.barred)
    others = {name: width for name, width in search.state.widths.items() if name not in steps}
    cost = limits.costs(search.models)
    fixed = widths_so_far(search)
    chosen = allocate(curves, lambda widths: cost({**fixed, **widths}), aim)
    return replace(chosen, widths={**others, **chosen.widths})


def _conclude(search: Search, seconds: float) -> StageResult:
    context, extents, state = search.context, search.extents, search.state
    timings = {
        "full_ms": dict(search.full_ms),
        "ms": dict(search.latest_ms),
        "steps": search.timings,
        "seconds": seconds,
    }
    if not search.rounds:
        return StageResult(0, tuple(search.notes), timings=timings)
    final = search.rounds[-1]
    narrowed = {name: width for name, width in final.items() if width < extents.units[name]}
    save_state(context.folder, state.module, context.original())
    damage = output_error(
        answers_of(context.fresh(), search.recipe.judged), answers_of(state.module, search.recipe.judged)
    )
    search.notes += [Note("did", name, _what_became(search, name, width)) for name, width in narrowed.items()]
    parameters = sum(value.numel() for value in state.module.parameters())
    plan = {name: [one.get(name, extents.units[name]) for one in search.rounds] for name in narrowed}
    figures = {
        "widths": list(format_widths(plan)),
        "units": {name: [extents.units[name], width] for name, width in narrowed.items()},
        "macs": [extents.macs({}), extents.macs(final)],
        "parameters": [sum(value.numel() for value in context.fresh().parameters()), parameters],
        "damage": float(f"{damage:.4g}"),
        "rounds": [{"macs": extents.macs(one), "parameters": extents.count(one)} for one in search.rounds],
    }
    size = sum(value.numel() * value.element_size() for value in state.module.parameters())
    return StageResult(len(narrowed), tuple(search.notes), parameters, size, figures, timings)


def _what_became(search: Search, name: str, width: int) -> str:
    return "left out whole" if name in search.blocks else f"{search.extents.units[name]} -> {width} units"
