"""Sorts plans into those that a trial cut proves and those that it disproves, with the operator in the way."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.attributes import alternatives
from edgewright.compiler.pruning.layouts import layouts
from edgewright.compiler.pruning.slots import Plan

if TYPE_CHECKING:
    from torch import nn

    from edgewright.compiler.pruning.trial import Trial


def proven(module: nn.Module, plans: Mapping[str, Plan], trial: Trial) -> tuple[dict[str, Plan], dict[str, str]]:
    """The plans that can be cut, all of them together and in their order, and why the others cannot.

    A plan that cannot be cut as it is may be proven as another: whole heads, or with attributes that follow.
    """
    # Blocks that repeat have plans that are alike, and are proven or not together: side by side they cost fewer trials.
    alike = sorted(plans.items(), key=lambda item: (len(item[1].slots), len(item[1].units)))
    good, bad = _sift(dict(alike), trial)
    for name in tuple(bad):
        for place, plan in enumerate(chain(alternatives(module, plans[name]), layouts(module, plans[name]))):
            problem = trial.problem({**good, name: plan})
            if problem is None:
                good[name] = plan
                del bad[name]
                break
            if place == 0 and plan.kind == "heads":
                bad[name] = problem
        if name in bad and (bare := [slot.path for slot in plans[name].slots if slot.side == "parameter"]):
            bad[name] += f"; parameter '{bare[0]}' is used outside of a layer"
    return ({name: good[name] for name in plans if name in good}, {name: bad[name] for name in plans if name in bad})


def _sift(plans: Mapping[str, Plan], trial: Trial) -> tuple[dict[str, Plan], dict[str, str]]:
    """Halves are tried until none is in doubt."""
    if not plans:
        return {}, {}
    problem = trial.problem(plans)
    if problem is None:
        return dict(plans), {}
    if len(plans) == 1:
        return {}, dict.fromkeys(plans, problem)
    names = list(plans)
    middle = len(names) // 2
    good: dict[str, Plan] = {}
    bad: dict[str, str] = {}
    for half in (names[:middle], names[middle:]):
        passed, failed = _sift({name: plans[name] for name in half}, trial)
        good |= passed
        bad |= failed
    return good, bad
