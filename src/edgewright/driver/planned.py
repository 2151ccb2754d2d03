"""The candidates that a plan leaves: one is built as it is, several compete by measurement, nothing else is tried."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.compiler.quantization.prepare import prepare
from edgewright.core.errors import BadInputError, EngineError, UnavailableError
from edgewright.driver.choice import Choice
from edgewright.driver.contender import Contender
from edgewright.driver.job import Job, Lane
from edgewright.driver.plan_file import PlanFile, read_plan
from edgewright.driver.search import Trial

if TYPE_CHECKING:
    from edgewright.driver.selection import Selection


def require_its_model(job: Job) -> None:
    """Lets through a plan that was made for the model at hand; a bundle's is repeated on another one, which is said.

    Raises:
        BadInputError: an edited plan that was made for another model.
    """
    if job.request.plan is None:
        return
    plan = read_plan(job.request.plan)
    if plan.model_digest in (None, job.original.digest):
        return
    if plan.editable:
        raise BadInputError(
            f"plan {plan.path} was made for another model, or for other shapes: model_digest is"
            f" {plan.model_digest:.12}..., that of '{job.original.name}' is {job.original.digest:.12}...",
            "Make it anew: edgewright plan.",
        )
    job.request.log("the plan was made for another model: what it keeps in float may not be in this one")


def planned(selection: Selection, plan: PlanFile) -> tuple[Iterator[Contender], object]:
    """The plan's candidates for these lanes, best first, and why.

    Raises:
        BadInputError: it has none left for a target.
        UnavailableError: it is for other targets, or nothing of it can be built.
        LimitMissedError: every candidate is larger than ``--max-size``.
    """
    found = [(lane, _widened(one.choice, selection.job)) for lane in selection.lanes for one in plan.of(lane.target)]
    if not found:
        raise nothing_left(plan, [lane.target.name for lane in selection.lanes])
    for lane, choice in found:
        _say_unknown(selection, lane, choice)
    if len(found) > 1:
        selection.log(f"  {len(found)} candidates of the plan are measured, and no others")
        return selection.ranked(found), selection.because
    lane, choice = found[0]
    built = lane.workshop.build(choice)
    because = [] if not plan.editable else [{**_named(lane, choice), "verdict": "the only candidate of a plan"}]
    return iter([Contender(lane, Trial(built, None, None), holds=True)]), because or plan.because


def _named(lane: Lane, choice: Choice) -> dict[str, object]:
    return {"target": lane.target.name, "candidate": choice.title}


def _widened(choice: Choice, job: Job) -> Choice:
    """With what pruning has left by now, where the plan did not know it."""
    if not choice.variant or choice.widths:
        return choice
    return replace(choice, widths=next((one.widths for one in job.variants if one.name == choice.variant), ()))


def nothing_left(plan: PlanFile, wanted: Sequence[str]) -> BadInputError | UnavailableError:
    """Why a plan has no candidate for any of the targets ``wanted``."""
    empty = [one.place for one in plan.targets if one.name in wanted]
    if empty:
        return plan.error([f"{place}.candidates: nothing is left to build" for place in empty])
    names = dict.fromkeys(planned.name or one.choice.runtime for planned in plan.targets for one in planned.candidates)
    return UnavailableError(
        f"the plan is for {', '.join(names) or 'nothing'}, not for {', '.join(wanted)}",
        "Name the target it was made for.",
    )


def _say_unknown(selection: Selection, lane: Lane, choice: Choice) -> None:
    """A layer that is to stay in float and is not there would go unnoticed."""
    if not choice.kept_float or lane.workshop.program is not None:
        return
    try:
        model = lane.workshop.before_quantisation(choice)
        known = {node.name for graph in (model.ir.graph, prepare(model).ir.graph) for node in graph if node.name}
    except (UnavailableError, EngineError):
        return  # building it says so
    for name in choice.kept_float:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            selection.log(f"  {choice.title}: keep_float names '{name}', which no operator is called here{hint}")
