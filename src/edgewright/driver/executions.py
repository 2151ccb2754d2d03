"""The leaders of a search, run in other ways than their runtime's own: fewer threads, other layouts.

Nothing is built for it: the same files are opened otherwise. What small models take is mostly handing work out and
waiting for it, and which way is best for them, only measuring says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.driver.contender import Contender

if TYPE_CHECKING:
    from edgewright.driver.selection import Selection

_LEADERS = 2
_NEAR = 1.25
"""A leader takes at most so many times what the fastest takes: another way to run seldom makes up for more."""
_SECONDS = 0.85
"""For each, beside the leaders themselves: there are many, and few stay near the front."""


def way_seconds(ways: int) -> float:
    """What running one leader in so many other ways takes, beside itself as it is."""
    return _SECONDS * (1 + ways) if ways else 0.0


def run_otherwise(selection: Selection, ranked: Sequence[Contender], gain: float) -> list[Contender]:
    """``ranked`` with what its leaders become when they are run in another way, where that is faster.

    Args:
        ranked: best first.
        gain: the share of its time that another way must save.

    Raises:
        EngineError: nothing could be timed at all.
    """
    if selection.job.out_of_time:
        return list(ranked)
    leaders = _leaders(ranked)
    drafts = [draft for leader in leaders for draft in _drafts(leader)]
    if not drafts:
        return list(ranked)
    timed = selection.timed([*leaders, *drafts], _SECONDS)
    leaders, drafts = timed[: len(leaders)], timed[len(leaders) :]
    faster: list[Contender] = []
    for leader in leaders:
        own = [one for one in drafts if _plain(one) == leader.key and one.time_ms is not None]
        best = min(own, key=lambda one: one.time_ms or 0.0, default=None)
        for one in own:
            selection.ledger.saw(one, "" if one is best else "another way of running it is faster")
        if best is None or best.time_ms is None or leader.time_ms is None:
            continue
        if best.time_ms > leader.time_ms * (1 - gain):
            selection.note(best, "undone: not faster run so (search grade)")
            continue
        # What is computed in another order, or by other kernels, is judged anew; the engine is there.
        judged = selection.plain(best.lane, best.trial.choice)
        if judged is not None and judged.holds:
            faster.append(replace(judged, timed=best.timed))
            selection.note(faster[-1], f"{best.time_ms / leader.time_ms:.2f}x of the runtime's own way (search grade)")
    if not faster:
        return list(ranked)
    front = selection.fastest_first([*faster, *leaders])
    keys = {one.key for one in front}
    return [*front, *(one for one in ranked if one.key not in keys)]


def _leaders(ranked: Sequence[Contender]) -> list[Contender]:
    """The fastest that hold, as far as they were timed on this machine."""
    times = [one.time_ms for one in ranked if one.holds and one.time_ms is not None]
    if not times:
        return []
    limit = min(times) * _NEAR
    near = [one for one in ranked if one.holds and one.time_ms is not None and one.time_ms <= limit]
    return [one for one in near if not one.trial.choice.execution][:_LEADERS]


def _drafts(leader: Contender) -> list[Contender]:
    """The leader run in each other way that its backend knows; what that costs in accuracy nobody has measured yet."""
    lane, trial = leader.lane, leader.trial
    choices = [
        replace(trial.choice, execution=dict(told))
        for told in lane.workshop.backend.executions(lane.target, lane.threads)
    ]
    trials = [replace(trial, built=lane.workshop.build(choice), score=None, drop=None) for choice in choices]
    return [replace(leader, trial=one, timed=None) for one in trials]


def _plain(one: Contender) -> tuple[str, str]:
    """The key of what runs in the runtime's own way."""
    return one.lane.target.name, replace(one.trial.choice, execution={}).digest
