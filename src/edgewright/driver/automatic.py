"""``--precision auto``: everything the target has is built and timed, and what pays is worked on further.

Each step needs few runs. All float engines and all ways of quantising, as they are, take turns in one session; the
calibration behind them is done once. Only what is faster than the best that holds is worth its accuracy trials. What a
layer gains by being quantised comes from two profiles: layers that lose by it are left in float, and where the limit is
missed those go first that harm most for what they gain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgewright.driver.choice import CODED, float_choices, int8_choices
from edgewright.driver.contender import Contender
from edgewright.driver.executions import run_otherwise
from edgewright.driver.gains import Gains
from edgewright.driver.variant import varied

if TYPE_CHECKING:
    from edgewright.driver.selection import Selection

GAIN = 0.05
"""What a more complicated candidate must be faster by."""
_LOSES = 0.01
"""Share of the float run that a layer must lose by being quantised to be left in float for it."""
_HOPELESS = 1.5
"""So many times slower than the best, a draft is not looked into: leaving layers in float does not make up for it."""
_TOO_SLOW = "not faster than what holds already (search grade)"


def automatic(selection: Selection) -> list[Contender]:
    """Every candidate worth proving, best first.

    Raises:
        EngineError: nothing could be timed at all.
    """
    job = selection.job
    plain = [
        (lane, choice)
        for lane in selection.lanes
        for choice in varied(float_choices(lane.target), selection.variants(lane), trained_first=False)
    ]
    floats = [one for one in (selection.plain(lane, choice) for lane, choice in plain) if one]
    if job.sets is None:
        selection.log("  int8 is left out: it needs --data to calibrate and to prove it")
        return run_otherwise(selection, selection.fastest_first(floats), GAIN)
    for lane in selection.lanes:
        if lane.target.fp8 is not None:
            selection.log(f"  {lane.target.name} fp8 is left out: it is tried with --precision fp8 alone")
    drafts = [
        one
        for lane in selection.lanes
        for choice in varied(int8_choices(lane.target), selection.variants(lane), trained_first=False)
        if (one := selection.plain(lane, choice, tunable=True))
    ]
    return _Race(selection).run(floats, drafts)


class _Race:
    """What holds so far, and how fast the best of it is."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._ledger = selection.ledger
        self._best: float | None = None
        """As a multiple of the fastest float engine's time."""
        self._floats: dict[str, Contender] = {}
        """By target, the fastest float engine that holds there."""

    def run(self, floats: Sequence[Contender], drafts: Sequence[Contender]) -> list[Contender]:
        """The floats and every draft that was worth working on, best first."""
        timed = self._ledger.beside_fastest(self._selection.timed([*floats, *drafts]))
        kept = timed[: len(floats)]
        for one in timed:
            self._ledger.saw(one)
        for one in kept:
            if one.holds:
                self._leads(one)
        for draft in sorted(timed[len(floats) :], key=_time):
            if self._selection.job.out_of_time and not draft.holds:
                self._selection.note(draft, "not worked on: --time-limit is over")
                self._ledger.stopped = True
                continue
            found = self._worked_on(draft)
            if found is None:
                continue
            kept.append(found)
            if found.holds:
                self._leads(found)
            if found.holds and found.time_ms is None:
                break  # nothing can be timed here: the target's preferred scheme that holds is taken
        ranked = run_otherwise(self._selection, self._selection.fastest_first(kept, again=True), GAIN)
        self._ledger.keep(ranked)
        return ranked

    def _worked_on(self, draft: Contender) -> Contender | None:
        """``draft`` without what does not pay, and within the limit if it can be; None where it is not worth it."""
        if not self._may_win(draft, _HOPELESS):
            self._selection.note(draft, _TOO_SLOW)
            return None
        rival = self._floats.get(draft.lane.target.name)
        blind = rival is None or draft.timed is None or self._selection.job.out_of_time
        known = None if blind or rival is None else self._selection.gains(draft, rival)
        if known is not None:
            draft = self._without_losses(draft, known)
        if not self._may_win(draft):
            self._selection.note(draft, _TOO_SLOW)
            return None
        if draft.holds:
            return draft
        tuned = self._selection.tuned(draft.lane, draft.trial.choice, known)
        return None if tuned is None else self._selection.timed([tuned])[0]

    def _without_losses(self, draft: Contender, known: Gains) -> Contender:
        """``draft``, or what it becomes with the layers in float that are slower as int8, where that is faster."""
        losing = known.slower(_LOSES)
        choice = draft.trial.choice
        if not losing or choice.kept_float or draft.ratio is None:
            return draft
        if sum(losing.values()) < draft.ratio * GAIN:
            return draft
        other = self._selection.plain(draft.lane, choice.varied(keep_float=tuple(losing)), tunable=True)
        if other is None:
            return draft
        other, again = self._selection.timed([other, draft])
        layers = "1 layer" if len(losing) == 1 else f"{len(losing)} layers"
        if other.ratio is None or again.ratio is None or other.ratio > again.ratio * (1 - GAIN):
            self._selection.note(other, f"undone: {layers} in float, slower as int8 alone, and the whole is not faster")
            return again
        self._selection.note(other, f"{layers} in float, slower as int8")
        return other

    def _may_win(self, draft: Contender, factor: float = 1 - GAIN) -> bool:
        return self._best is None or draft.ratio is None or draft.ratio <= self._best * factor

    def _leads(self, one: Contender) -> None:
        """Takes ``one``, which keeps the limit on the selection set, for the best where it is."""
        name, ratio = one.lane.target.name, one.ratio
        plain = one.trial.choice.precision not in CODED
        if plain and (name not in self._floats or _time(one) < _time(self._floats[name])):
            self._floats[name] = one
        if ratio is not None and (self._best is None or ratio <= self._best * (1.0 if plain else 1 - GAIN)):
            self._best = ratio
            self._ledger.best_so_far(one)


def _time(one: Contender) -> float:
    return float("inf") if one.time_ms is None else one.time_ms
