"""What quantising a layer gains: two profiles, and the order in which layers go to float because of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewright.backends import Artifact, LayerTime, ProfiledRun, Profiles
from edgewright.compiler.pass_base import LayerDamage
from edgewright.core.errors import UnavailableError
from edgewright.driver import gains as module
from edgewright.driver.cache_steps import Steps
from edgewright.driver.gains import Gains, gains, knapsack_order

LAYERS = ("stem", "block", "head")


def artifact(name: str) -> Artifact:
    return Artifact("openvino", Path(), f"{name}.xml", (), (), ())


def profiles(**times: float) -> Profiles:
    layers = tuple(LayerTime(name, "Convolution", "f32", time, (name,)) for name, time in times.items())
    return Profiles((100.0,) * 3, (ProfiledRun(100.0, layers),) * 3)


def test_a_gain_is_a_share_of_the_float_run(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = {
        "int8.xml": profiles(stem=30.0, block=10.0, other=5.0),
        "fp32.xml": profiles(stem=20.0, block=50.0, head=9.0),
    }
    monkeypatch.setattr(module, "profile_engine", lambda one, _feeds, _threads: seen[one.entry])
    found = gains(Steps(), (artifact("int8"), artifact("fp32")), LAYERS, {}, threads=1, log=print)
    assert found is not None
    assert found.shares == {"stem": pytest.approx(-0.1), "block": pytest.approx(0.4)}, (
        "what one does not show is left out"
    )
    assert found.slower(0.05) == {"stem": pytest.approx(0.1)}
    assert found.slower(0.2) == {}


def test_an_engine_that_shows_nothing_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Profiles:
        raise UnavailableError("the engine does not show the graph that it executes")

    monkeypatch.setattr(module, "profile_engine", refuse)
    said: list[str] = []
    assert gains(Steps(), (artifact("int8"), artifact("fp32")), LAYERS, {}, threads=1, log=said.append) is None
    assert said == ["  what its layers take is not known: the engine does not show the graph that it executes"]


def test_layers_that_cannot_be_timed_without_slowing_them_down_tell_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    slowed = replace(profiles(stem=30.0, block=10.0), plain_us=(50.0,) * 3)
    monkeypatch.setattr(module, "profile_engine", lambda *_: slowed)
    assert gains(Steps(), (artifact("int8"), artifact("fp32")), LAYERS, {}, threads=1, log=print) is None


def damages(**errors: float) -> list[LayerDamage]:
    return sorted((LayerDamage(name, error) for name, error in errors.items()), key=lambda one: -one.error)


def test_of_two_that_harm_alike_the_cheaper_goes_first() -> None:
    ranked = damages(stem=1.0, block=1.0, head=0.9)
    assert knapsack_order(ranked, Gains({"stem": 0.4, "block": 0.1, "head": 0.01})) == ["head", "block", "stem"]
    assert knapsack_order(ranked, None) == [one.layer for one in ranked]


def test_what_harms_nothing_comes_last_however_cheap() -> None:
    ranked = damages(stem=1.0, block=1e-5)
    assert knapsack_order(ranked, Gains({"stem": 0.5, "block": 0.0})) == ["stem", "block"]


@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 10)),
    st.dictionaries(st.sampled_from("abcdefgh"), st.floats(-1, 1)),
)
def test_every_layer_is_in_the_order_once(errors: dict[str, float], shares: dict[str, float]) -> None:
    ranked = damages(**errors)
    assert sorted(knapsack_order(ranked, Gains(shares))) == sorted(errors)
