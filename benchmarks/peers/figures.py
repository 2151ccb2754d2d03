"""What the record's rows come to: who is fastest within the limit, ours beside each route, and the verdicts.

Everything here is worked out from a record's `cases`; nothing is measured.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping
from typing import Any

Json = Mapping[str, Any]
FLOAT = "float"
NEAR = 0.85
"""Rounds that differ by less leave open who is faster."""


def holding(case: Json) -> list[str]:
    """The routes that were timed and keep every limit of the case, fastest first.

    By what ours takes as a share of theirs, round by round: the machine's own speed changes more between rounds than
    some routes differ, and medians over rounds would compare one's fast rounds with another's slow ones.
    """
    routes = case["routes"]
    timed = [name for name, row in routes.items() if row.get("holds") and row.get("ms") is not None]
    return sorted(timed, key=lambda name: (-(routes[name].get("ratio") or 0.0), routes[name]["ms"]))


def contenders(case: Json) -> list[str]:
    """The routes that may be the fastest: beside which ours is within :data:`NEAR` of the worst it is beside any."""
    routes = holding(case)
    worst = max((case["routes"][name].get("ratio") or 0.0 for name in routes), default=0.0)
    return [name for name in routes if (case["routes"][name].get("ratio") or 0.0) >= worst * NEAR]


def fastest(case: Json) -> str | None:
    """The fastest route that keeps the limit: of those that met ours in pairs, the one beside which ours took longest.

    None where none was timed.
    """
    met = [name for name in contenders(case) if name in case["duels"]]
    return max(met, key=lambda name: case["duels"][name]["ratio"], default=next(iter(holding(case)), None))


def fastest_float(case: Json) -> str | None:
    """The fastest way to run the model as it is."""
    return next((name for name in holding(case) if case["routes"][name]["kind"] == FLOAT), None)


def beside(case: Json, route: str) -> tuple[float, tuple[float, float] | None]:
    """Ours over a route's: from the duel's adjacent pairs where there was one, else from the rounds."""
    row = case["duels"].get(route) or case["routes"][route]
    interval = row["ratio_ci95"]
    return row["ratio"], None if interval is None else (interval[0], interval[1])


def adjacent_ms(case: Json, route: str) -> tuple[float, float] | None:
    """Medians of ours and a route's runs over the pairs of their duel, which one machine state shared; None without."""
    pairs = case["duels"].get(route, {}).get("pairs")
    if not pairs:
        return None
    ours, theirs = (statistics.median(pair[place] for pair in pairs) / 1e6 for place in (0, 1))
    return ours, theirs


def verdict(case: Json) -> str:
    """Ours against the fastest route within the limit: the gate's word, or why there is none."""
    if case["ours"].get("holds") is not True:
        return "no artifact" if case["ours"]["status"] != "built" else "limit missed"
    rival = fastest(case)
    if rival is None or rival not in case["duels"]:
        return "not timed"
    return str(case["duels"][rival]["verdict"])


def slower_than_float(case: Json) -> bool | None:
    """Whether ours is slower than the fastest float engine, beyond the gate's doubt; None where nobody knows.

    Pairs decide where they were taken; the rounds are enough where their whole interval is below 1.
    """
    rival = fastest_float(case)
    if rival is None or case["ours"].get("ms") is None:
        return None
    if rival in case["duels"]:
        return bool(case["duels"][rival]["verdict"] == "regressed")
    interval = case["routes"][rival]["ratio_ci95"]
    return False if interval is not None and interval[1] < 1 else None


def geometric_mean(values: Iterable[float]) -> float:
    """The exponential of the mean logarithm; of none, ValueError."""
    logs = [math.log(value) for value in values]
    if not logs:
        raise ValueError("the geometric mean of nothing")
    return math.exp(math.fsum(logs) / len(logs))


def compared(cases: Json) -> dict[str, Json]:
    """The cases that were timed to the end with an artifact of ours that holds, by name."""
    return {
        name: case
        for name, case in cases.items()
        if case["ours"].get("holds") and case["ours"].get("ms") is not None and holding(case)
    }


def single_routes(cases: Json) -> dict[str, Json]:
    """By route, over all compared cases: how many it holds, and the geometric mean of ours over it on those."""
    found: dict[str, Json] = {}
    done = compared(cases)
    for name in {route: None for case in done.values() for route in case["routes"]}:
        held = [case for case in done.values() if name in holding(case)]
        ratios = [beside(case, name)[0] for case in held]
        found[name] = {"holds": len(held), "of": len(done), "ratio": geometric_mean(ratios) if ratios else None}
    return found


def best_single(cases: Json) -> str | None:
    """The fastest route that holds in every compared case: the one beside which ours looks worst."""
    everywhere = {name: row for name, row in single_routes(cases).items() if row["holds"] == row["of"]}
    return max(everywhere, key=lambda name: everywhere[name]["ratio"], default=None)


def summary(cases: Json) -> dict[str, Any]:
    """What `summary` of the record holds; see :mod:`record`."""
    rows = {}
    for name, case in cases.items():
        rival, engine = fastest(case), fastest_float(case)
        timed = rival is not None and case["ours"].get("ms") is not None
        ratio, interval = beside(case, str(rival)) if timed else (None, None)
        rows[name] = {
            "fastest": rival,
            "ratio": ratio,
            "ratio_ci95": None if interval is None else list(interval),
            "verdict": verdict(case),
            "fastest_float": engine,
            "slower_than_float": slower_than_float(case),
        }
    done = compared(cases)
    best = best_single(cases)
    return {
        "cases": rows,
        "routes": single_routes(cases),
        "best_single": best,
        "over_best_single": None if best is None else single_routes(cases)[best]["ratio"],
        "over_fastest": geometric_mean(beside(case, str(fastest(case)))[0] for case in done.values()) if done else None,
    }
