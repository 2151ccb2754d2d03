"""Decides how wide each group stays: least damage for the latency it brings. Pure arithmetic on tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Cost: TypeAlias = Callable[[Mapping[str, int]], Mapping[str, float]]
"""Widths -> what they cost by each measure (a target's latency, bytes, multiplications), each as a share of its goal:
the goal is reached where none is above 1."""

_SHARPNESS = 8
"""Exponent of the mean that stands for the worst measure: smooth, so that a gain in the second worst counts too."""
NO_DAMAGE = 1e-6
"""Below it the larger gain decides."""


@dataclass(frozen=True)
class Curve:
    """What a group's widths do to the model's answers, from the width it has now downwards."""

    group: str
    widths: tuple[int, ...]
    """Falling; the first is the width it has now."""
    damage: tuple[float, ...]
    """Of each width, the first 0; an error that adds up over groups."""
    barred: frozenset[int] = frozenset()
    """Widths never to be taken: they measured slower than a wider one."""

    def __post_init__(self) -> None:
        if len(self.widths) != len(self.damage) or not self.widths:
            raise ValueError(f"{self.group}: {len(self.widths)} widths and {len(self.damage)} damages")
        if any(after >= before for before, after in zip(self.widths, self.widths[1:], strict=False)):
            raise ValueError(f"{self.group}: widths {self.widths} do not fall")


@dataclass(frozen=True)
class Allocation:
    """Widths for every group, and what they are thought to come to."""

    widths: Mapping[str, int]
    costs: Mapping[str, float]
    damage: float
    reached: bool


def allocate(curves: Sequence[Curve], cost: Cost, goal: float = 1.0, lookahead: int = 4) -> Allocation:
    """Narrows the groups until every cost is at most ``goal``, or nothing cheaper is left.

    Greedy: the narrowing with the least additional damage per cost gained is taken, again and again, so a smaller
    ``goal`` goes further along the same way. A narrowing may skip widths that gain nothing by themselves. Ties go to
    the larger gain, then to the group that stands first.

    Args:
        curves: widths that must not be reached are simply not among them.
        lookahead: how many widths below the present one are considered at once.
    """
    places = {curve.group: 0 for curve in curves}
    widths = {curve.group: curve.widths[0] for curve in curves}
    damage = dict.fromkeys(widths, 0.0)
    costs = cost(widths)
    while max(costs.values(), default=0.0) > goal:
        best: tuple[float, float, int, int] | None = None
        for order, curve in enumerate(curves):
            for place in _next(curve, places[curve.group], lookahead):
                gain = overall(costs) - overall(cost({**widths, curve.group: curve.widths[place]}))
                if gain <= 0:
                    continue
                harm = max(curve.damage[place] - damage[curve.group], 0.0) + NO_DAMAGE
                option = (harm / gain, -gain, order, place)
                best = option if best is None or option < best else best
        if best is None:
            break
        curve, place = curves[best[2]], best[3]
        places[curve.group], widths[curve.group], damage[curve.group] = place, curve.widths[place], curve.damage[place]
        costs = cost(widths)
    return Allocation(widths, costs, sum(damage.values()), max(costs.values(), default=0.0) <= goal)


def allowed_widths(widths: Sequence[int], now: int, units: int, floor: float) -> tuple[int, ...]:
    """Of ``widths``, those that may be taken from ``now`` on, falling, ``now`` first.

    Args:
        units: of the group before anything was cut; ``floor`` is a share of them.

    >>> allowed_widths((8, 16, 24, 32), 24, 32, 0.3)
    (24, 16)
    """
    return (now, *sorted({width for width in widths if width < now and width >= floor * units}, reverse=True))


def _next(curve: Curve, place: int, lookahead: int) -> list[int]:
    open_places = [at for at in range(place + 1, len(curve.widths)) if curve.widths[at] not in curve.barred]
    return open_places[:lookahead]


def overall(costs: Mapping[str, float]) -> float:
    """One number for several costs: that of the worst, of which the others are part as far as they are near it."""
    values = list(costs.values())
    largest = max(values, default=0.0)
    if largest <= 0:
        return 0.0
    mean = sum((value / largest) ** _SHARPNESS for value in values) / len(values)
    return largest * float(mean ** (1 / _SHARPNESS))
