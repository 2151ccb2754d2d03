"""Everything a search looked at: what each candidate costs in accuracy, time and bytes, and what became of it.

Times are search grade. They decided, and stand in the record so that the decisions can be followed; figures to quote
are those of ``bench`` and ``gate``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from edgewright.core.units import show_bytes
from edgewright.driver.choice import CODED
from edgewright.driver.contender import Contender, Timed

SCHEMA = "edgewright.search/1"


@dataclass
class Ledger:
    """The candidates of one search, in the order in which they were first seen."""

    log: Callable[[str], None]
    reference: Contender | None = None
    """The float engine that times are multiples of."""
    stopped: bool = False
    """Whether the time limit ended the search before it was through."""
    _seen: dict[tuple[str, str], Contender] = field(default_factory=dict)
    _verdicts: dict[tuple[str, str], str] = field(default_factory=dict)
    _best: tuple[str, str] | None = None
    _started: float = field(default_factory=time.monotonic)

    @property
    def any(self) -> bool:
        """Whether a candidate was seen at all."""
        return bool(self._seen)

    def saw(self, contender: Contender, verdict: str = "") -> None:
        """Takes down the latest that is known of ``contender``."""
        before = self._seen.get(contender.key)
        if before is None or contender.timed is not None or before.timed is None:
            self._seen[contender.key] = contender
        if verdict or contender.key not in self._verdicts:
            self._verdicts[contender.key] = verdict

    def beside_fastest(self, timed: Sequence[Contender]) -> list[Contender]:
        """The contenders of one session, each beside the fastest float engine of them that holds: the reference."""
        plain = [one for one in timed if one.trial.choice.precision not in CODED]
        holding = [one for one in plain if one.holds and one.timed is not None]
        if not holding:
            return list(timed)
        fastest = min(holding, key=lambda one: one.time_ms or 0.0)
        assert fastest.timed is not None
        beside = fastest.timed.blocks_ms
        found = [replace(one, timed=one.timed and Timed(one.timed.blocks_ms, beside)) for one in timed]
        self.reference = next(one for one in found if one.key == fastest.key)
        return found

    def keep(self, ranked: Sequence[Contender]) -> None:
        """Takes down what came out in the end, and says which are best for some budget."""
        for one in ranked:
            self.saw(one)
        self._say_front()

    def best_so_far(self, contender: Contender) -> None:
        """Says that ``contender`` leads, where it is another one than before."""
        if contender.key == self._best:
            return
        self._best = contender.key
        self.log(f"  best so far, after {time.monotonic() - self._started:.0f} s: {_line(contender)}")

    def front(self) -> list[Contender]:
        """The candidates that none other is as good as in accuracy, time and size, and better in one; fastest first.

        Only those of which all three are known.
        """
        known = [(one, figures) for one in self._seen.values() if (figures := _figures(one)) is not None]
        best = [one for one, own in known if not any(_beats(other, own) for _, other in known)]
        return sorted(best, key=lambda one: one.ratio or 0.0)

    def _say_front(self) -> None:
        """One line a candidate of the front, where there is something to choose between."""
        front = self.front()
        if len(front) < 2:
            return
        self.log(f"  of {len(self._seen)} candidates, {len(front)} are best for some budget (times: search grade):")
        for one in front:
            self.log(f"    {_line(one)}, {show_bytes(one.trial.built.artifact.size_bytes)}")

    def to_json(self) -> dict[str, object]:
        """The document of the record and of ``--json``; see ``docs/search.md``."""
        front = {one.key for one in self.front()}
        reference = self.reference
        return {
            "schema": SCHEMA,
            "grade": "search",
            "seconds": round(time.monotonic() - self._started, 1),
            "stopped_by_time_limit": self.stopped,
            "reference": None if reference is None else _named(reference),
            "candidates": [
                {**_named(one), **_measured(one), "verdict": self._verdicts[key], "front": key in front}
                for key, one in self._seen.items()
            ],
        }


def _line(one: Contender) -> str:
    drop = "" if one.trial.drop is None else f", drop {one.trial.drop:+.4f}"
    time_ms, ratio = one.time_ms, one.ratio
    if time_ms is None:
        return f"{one.title}{drop}"
    against = "" if ratio is None else f", {ratio:.2f}x the fastest float"
    return f"{one.title}: {time_ms:.3g} ms{against}{drop}"


def _named(one: Contender) -> dict[str, object]:
    return {"target": one.lane.target.name, "candidate": one.trial.choice.title}


def _measured(one: Contender) -> dict[str, object]:
    ratio, interval = (None if one.timed is None else one.timed.ratio) or (None, None)
    return {
        "choice": one.trial.choice.to_json(),
        "holds": one.holds,
        "drop": one.trial.drop,
        "size_bytes": one.trial.built.artifact.size_bytes,
        "median_ms": _rounded(one.time_ms),
        "ratio": _rounded(ratio),
        "ratio_ci95": None if interval is None else [_rounded(end) for end in interval],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _figures(one: Contender) -> tuple[float, float, float] | None:
    drop, ratio = one.trial.drop, one.ratio
    return None if drop is None or ratio is None else (drop, ratio, one.trial.built.artifact.size_bytes)


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(mine <= its for mine, its in zip(one, other, strict=True)) and tuple(one) != tuple(other)
