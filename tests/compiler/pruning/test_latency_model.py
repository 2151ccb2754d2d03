from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest

from edgewright.compiler.pruning.extents import Extent, Extents
from edgewright.compiler.pruning.latency_model import fit_latency

UNITS = {"a": 32, "b": 64, "c": 32}
EXTENTS = Extents(
    (
        Extent("stem", (32, 3), {0: {"a": 1}}, 100_000),
        Extent("one", (64, 32), {0: {"b": 1}, 1: {"a": 1}}, 1_000_000),
        Extent("two", (32, 64), {0: {"c": 1}, 1: {"b": 1}}, 500_000),
        Extent("head", (10, 32), {1: {"c": 1}}, 50_000),
    ),
    UNITS,
    {"a": 1000, "b": 1000, "c": 500},
)
TIMES = {"stem": 0.5, "one": 1.0, "two": 3.0, "head": 0.1}
"""Milliseconds, in other proportions than the multiplications."""
FIXED_MS = 0.4


def truth(widths: Mapping[str, int]) -> float:
    share = {name: widths.get(name, units) / units for name, units in UNITS.items()}
    return (
        FIXED_MS
        + TIMES["stem"] * share["a"]
        + TIMES["one"] * share["a"] * share["b"]
        + TIMES["two"] * share["b"] * share["c"]
        + TIMES["head"] * share["c"]
    )


def alone() -> dict[tuple[str, int], float]:
    return {(name, units // part): truth({name: units // part}) for name, units in UNITS.items() for part in (2, 4)}


def test_times_of_one_group_at_a_time_tell_those_of_all_together() -> None:
    """Adding up what each group saves alone would be off by more than the whole model."""
    model = fit_latency(EXTENTS, truth({}), alone(), noise=0.0)
    for name, width in alone():
        assert model.predict({name: width}) == pytest.approx(truth({name: width}), rel=1e-6)
    for parts in itertools.product((1, 2, 4), repeat=3):
        widths = {name: units // part for (name, units), part in zip(UNITS.items(), parts, strict=True)}
        assert model.predict(widths) == pytest.approx(
            truth(widths), rel=0.15
        )  # who of two layers a group's time goes to is not known


def test_between_and_below_what_was_timed_it_goes_on_in_straight_lines() -> None:
    model = fit_latency(EXTENTS, truth({}), alone(), noise=0.0)
    for width in (56, 40, 24, 20, 8):
        assert model.predict({"b": width}) == pytest.approx(truth({"b": width}), rel=1e-3)


def test_a_saving_within_the_noise_is_not_believed() -> None:
    measured = {("c", 16): truth({}) * 1.001}
    believed = fit_latency(EXTENTS, truth({}), measured, noise=0.0).predict({"c": 16})
    doubted = fit_latency(EXTENTS, truth({}), measured, noise=0.5).predict({"c": 16})
    assert doubted < 0.9 * believed


def test_without_any_measurement_multiplications_decide() -> None:
    model = fit_latency(EXTENTS, 10.0, {}, noise=0.02)
    assert model.predict({}) == 10.0
    assert model.predict({"a": 16, "b": 32, "c": 16}) < model.predict({"b": 32}) < model.predict({"c": 16}) < 10.0


def test_it_is_corrected_by_what_a_round_took() -> None:
    model = fit_latency(EXTENTS, truth({}), alone(), noise=0.0)
    widths = {"a": 16, "b": 32}
    again = model.corrected(widths, 3.0)
    assert again.predict(widths) == pytest.approx(3.0)
    assert again.predict({}) == truth({})
    assert model.predict(widths) > model.corrected(widths, 0.5, noise_ms=3.0).predict(widths) > 1.0
    assert model.corrected({}, 3.0).predict(widths) == model.predict(widths)  # nothing was cut: nothing is learnt
