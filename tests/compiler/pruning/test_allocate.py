from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.compiler.pruning.allocate import Allocation, Cost, Curve, allocate, allowed_widths


@dataclass(frozen=True)
class Problem:
    """Groups with their widths before the cut, and what each unit of them costs on two targets."""

    curves: tuple[Curve, ...]
    prices: Mapping[str, tuple[float, float]]
    fixed: float

    def cost(self, widths: Mapping[str, int]) -> Mapping[str, float]:
        full = {curve.group: curve.widths[0] for curve in self.curves}
        return {
            target: self.fixed + sum(self.prices[name][place] * widths[name] / full[name] for name in widths)
            for place, target in enumerate(("one", "two"))
        }


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    curves = []
    for number in range(draw(st.integers(1, 4))):
        multiple = draw(st.sampled_from([1, 4, 8]))
        units = multiple * draw(st.integers(2, 8))
        floor = draw(st.sampled_from([0.1, 0.3, 0.5]))
        widths = allowed_widths(range(multiple, units + 1, multiple), units, units, floor)
        rises = draw(st.lists(st.floats(0, 1), min_size=len(widths) - 1, max_size=len(widths) - 1))
        damage = [0.0]
        for rise in rises:
            damage.append(damage[-1] + rise)
        barred = draw(st.sets(st.sampled_from(widths[1:]), max_size=2)) if len(widths) > 1 else set()
        curves.append(Curve(f"g{number}", widths, tuple(damage), frozenset(barred)))
    price = st.floats(0.05, 1)
    prices = {curve.group: (draw(price), draw(price)) for curve in curves}
    return Problem(tuple(curves), prices, draw(st.floats(0, 0.5)))


def solved(problem: Problem, goal: float) -> Allocation:
    return allocate(problem.curves, problem.cost, goal)


@given(problems(), st.floats(0.05, 3))
def test_only_allowed_widths_are_chosen_and_what_can_be_reached_is(problem: Problem, goal: float) -> None:
    found = solved(problem, goal)
    lowest = {}
    for curve in problem.curves:
        chosen = found.widths[curve.group]
        assert chosen in curve.widths
        assert chosen not in curve.barred or chosen == curve.widths[0]
        open_widths = [width for width in curve.widths if width not in curve.barred]
        lowest[curve.group] = min(open_widths)
    reachable = max(problem.cost(lowest).values()) <= goal
    assert found.reached == reachable
    assert found.costs == problem.cost(found.widths)


@given(problems(), st.floats(0.05, 3), st.floats(0.3, 1))
def test_a_stricter_goal_never_leaves_more(problem: Problem, goal: float, factor: float) -> None:
    loose, strict = solved(problem, goal), solved(problem, goal * factor)
    assert all(strict.widths[name] <= width for name, width in loose.widths.items())
    assert strict.damage >= loose.damage - 1e-12  # sums of the same numbers in another order


@given(problems(), st.floats(0.05, 3))
def test_it_stops_as_soon_as_the_goal_is_reached_and_says_the_same_twice(problem: Problem, goal: float) -> None:
    found = solved(problem, goal)
    assert found == solved(problem, goal)
    if max(problem.cost({curve.group: curve.widths[0] for curve in problem.curves}).values()) <= goal:
        assert found.widths == {curve.group: curve.widths[0] for curve in problem.curves}


def flat(prices: Mapping[str, float]) -> Cost:
    return lambda widths: {"t": sum(price * widths[name] / 8 for name, price in prices.items())}


def test_the_cheapest_damage_per_gain_goes_first() -> None:
    harmless = Curve("harmless", (8, 4), (0.0, 0.1))
    harmful = Curve("harmful", (8, 4), (0.0, 0.4))
    found = allocate([harmful, harmless], flat({"harmful": 1.0, "harmless": 1.0}), 1.5)
    assert found.widths == {"harmful": 8, "harmless": 4}
    dear = allocate(
        [harmful, harmless], flat({"harmful": 5.0, "harmless": 1.0}), 4.0
    )  # 2.5 gained for 0.4, not 0.5 for 0.1
    assert dear.widths == {"harmful": 4, "harmless": 8}


def test_a_width_that_gains_nothing_is_passed_over() -> None:
    def staircase(widths: Mapping[str, int]) -> Mapping[str, float]:
        return {"t": 1.0 if widths["a"] > 4 else 0.5}

    found = allocate([Curve("a", (8, 7, 6, 5, 4, 3), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5))], staircase, 0.6)
    assert found.widths == {"a": 4}


def test_the_worst_target_decides_and_a_gain_elsewhere_still_counts() -> None:
    def cost(widths: Mapping[str, int]) -> Mapping[str, float]:
        return {"one": widths["a"] / 8 * 2, "two": widths["b"] / 8 * 2}

    curves = [Curve("a", (8, 4, 2), (0.0, 0.1, 0.2)), Curve("b", (8, 4, 2), (0.0, 0.1, 0.2))]
    assert allocate(curves, cost, 1.0).widths == {"a": 4, "b": 4}


def test_a_width_that_makes_things_slower_is_not_taken() -> None:
    found = allocate([Curve("a", (8, 4), (0.0, 0.0))], lambda widths: {"t": 2.0 + (8 - widths["a"])}, 1.0)
    assert found.widths == {"a": 8}
    assert not found.reached


@pytest.mark.parametrize(("widths", "damage"), [((8, 8), (0.0, 0.1)), ((4, 8), (0.0, 0.1)), ((8, 4), (0.0,)), ((), ())])
def test_curves_that_make_no_sense_are_refused(widths: tuple[int, ...], damage: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="a: "):
        Curve("a", widths, damage)


def test_allowed_widths_keep_the_floor_of_what_there_was_first() -> None:
    assert allowed_widths((2, 4, 6, 8), 6, 20, 0.2) == (6, 4)
    assert allowed_widths((8,), 8, 8, 0.1) == (8,)
