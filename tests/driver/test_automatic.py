"""Who is worked on under auto, and what is undone, with candidates whose times and drops are made up."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import pytest

from edgewright.driver import automatic as module
from edgewright.driver.automatic import automatic
from edgewright.driver.choice import Choice
from edgewright.driver.contender import Contender, Timed
from edgewright.driver.gains import Gains
from edgewright.driver.job import Lane
from edgewright.driver.ledger import Ledger
from edgewright.driver.search import Trial
from edgewright.driver.workshop import Built

LIMIT = 0.01
FLOAT = Choice("onnxruntime", "fp32")
FAST, SLOW = Choice("onnxruntime", "int8", "fast"), Choice("onnxruntime", "int8", "slow")


@dataclass
class FakeSelection:
    """Times and drops by title; a tuned candidate holds and takes 1.1 times as long."""

    times: dict[str, float]
    drops: dict[str, float]
    losing: dict[str, float] = field(default_factory=dict)
    spared: float = 1.0
    """What a candidate with layers in float takes, as a multiple of its time without."""
    alone: float = 1.2
    """What a candidate takes on one thread, as a multiple of its time on all."""
    alone_drop: float = 0.0
    """What is lost besides on one thread."""
    out_of_time: bool = False
    notes: list[tuple[str, str]] = field(default_factory=list)
    tuned_with: list[tuple[str, Gains | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.log = lambda _line: None
        self.ledger = Ledger(self.log)
        target = SimpleNamespace(name="native/onnxruntime", fp8=None)
        backend = SimpleNamespace(executions=lambda _target, _threads: ({"threads": "1"},))
        workshop = SimpleNamespace(backend=backend, build=_built)
        self.lanes = [cast("Lane", SimpleNamespace(target=target, threads=2, workshop=workshop))]
        self.job = SimpleNamespace(sets=object(), out_of_time=self.out_of_time)

    def variants(self, _lane: Lane) -> tuple[()]:
        return ()

    def plain(self, lane: Lane, choice: Choice, *, tunable: bool = False) -> Contender:
        del tunable
        drop = self.drops[choice.scheme] + (self.alone_drop if choice.execution else 0)
        return Contender(lane, Trial(_built(choice), None, drop), drop <= LIMIT)

    def timed(self, found: list[Contender], seconds_per_arm: float = 2.0) -> list[Contender]:
        del seconds_per_arm
        return [replace(one, timed=Timed((self._time(one),) * 6, (self.times[""],) * 6)) for one in found]

    def _time(self, one: Contender) -> float:
        choice = one.trial.choice
        factors = (self.spared if choice.kept_float else 1, self.alone if choice.execution else 1)
        return self.times[choice.scheme] * math.prod(factors) * (1.1 if choice.variant else 1)

    def gains(self, _draft: Contender, _rival: Contender) -> Gains:
        return Gains({name: -share for name, share in self.losing.items()})

    def tuned(self, lane: Lane, choice: Choice, known: Gains | None = None) -> Contender:
        self.tuned_with.append((choice.scheme, known))
        return replace(self.plain(lane, replace(choice, variant="tuned")), holds=True)

    def note(self, one: Contender, verdict: str) -> None:
        self.notes.append((one.trial.choice.scheme, verdict))

    def fastest_first(self, found: list[Contender], *, again: bool = False) -> list[Contender]:
        del again
        return sorted(found, key=lambda one: (not one.holds, one.time_ms or 0.0))


def _built(choice: Choice) -> Built:
    return cast("Built", SimpleNamespace(choice=choice, artifact=SimpleNamespace(size_bytes=1)))


@pytest.fixture(autouse=True)
def _schemes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "float_choices", lambda _target: [FLOAT])
    monkeypatch.setattr(module, "int8_choices", lambda _target: [SLOW, FAST])


def run(selection: FakeSelection) -> list[Contender]:
    return automatic(selection)  # type: ignore[arg-type]


def schemes(found: list[Contender]) -> list[str]:
    return [one.trial.choice.scheme for one in found]


def test_what_is_not_faster_is_not_worked_on() -> None:
    selection = FakeSelection({"": 1.0, "fast": 0.5, "slow": 0.97}, {"": 0.0, "fast": 0.0, "slow": 0.5})
    assert schemes(run(selection)) == ["fast", ""]
    assert selection.notes == [
        ("slow", "not faster than what holds already (search grade)"),
        ("fast", "undone: not faster run so (search grade)"),
    ]
    assert not selection.tuned_with


def test_int8_that_never_pays_leaves_the_float_engine() -> None:
    selection = FakeSelection({"": 1.0, "fast": 1.2, "slow": 3.0}, {"": 0.0, "fast": 0.0, "slow": 0.0})
    assert schemes(run(selection)) == [""]


def test_what_misses_is_tuned_with_what_its_layers_gain_and_timed_again() -> None:
    selection = FakeSelection({"": 1.0, "fast": 0.5, "slow": 2.0}, {"": 0.0, "fast": 0.2, "slow": 0.0}, {"stem": 0.001})
    first = run(selection)[0]
    assert first.trial.choice.variant == "tuned"
    assert first.time_ms == pytest.approx(0.55)
    assert selection.tuned_with == [("fast", Gains({"stem": -0.001}))]


@pytest.mark.parametrize(("spared", "kept"), [(0.8, ("stem",)), (0.99, ())])
def test_layers_that_lose_by_int8_stay_float_only_where_the_whole_gains(spared: float, kept: tuple[str, ...]) -> None:
    selection = FakeSelection(
        {"": 1.0, "fast": 0.9, "slow": 3.0}, {"": 0.0, "fast": 0.0, "slow": 0.0}, {"stem": 0.2, "head": 0.001}, spared
    )
    assert run(selection)[0].trial.choice.kept_float == kept
    assert selection.notes[0][1].startswith("1 layer in float" if kept else "undone: 1 layer")


def test_a_draft_that_is_too_slow_may_win_without_the_layers_that_lose() -> None:
    selection = FakeSelection(
        {"": 1.0, "fast": 1.1, "slow": 9.0}, {"": 0.0, "fast": 0.0, "slow": 0.0}, {"stem": 0.4}, 0.6
    )
    assert run(selection)[0].trial.choice.kept_float == ("stem",)


def test_when_time_is_over_what_was_built_is_ranked_and_said_to_be_unfinished() -> None:
    selection = FakeSelection(
        {"": 1.0, "fast": 0.5, "slow": 0.6}, {"": 0.0, "fast": 0.2, "slow": 0.2}, out_of_time=True
    )
    assert schemes(run(selection)) == [""]
    assert selection.ledger.to_json()["stopped_by_time_limit"] is True
    assert {verdict for _, verdict in selection.notes} == {"not worked on: --time-limit is over"}


def test_the_leader_is_run_on_one_thread_where_that_is_faster() -> None:
    selection = FakeSelection({"": 1.0, "fast": 0.5, "slow": 0.97}, {"": 0.0, "fast": 0.0, "slow": 0.5}, alone=0.8)
    first, second = run(selection)[:2]
    assert (first.trial.choice.scheme, first.trial.choice.execution) == ("fast", {"threads": "1"})
    assert (second.trial.choice.scheme, second.trial.choice.execution) == ("fast", {})
    assert selection.notes[-1] == ("fast", "0.80x of the runtime's own way (search grade)")
    assert first.trial.drop == 0.0
    titles = [one["candidate"] for one in selection.ledger.to_json()["candidates"]]  # type: ignore[attr-defined]
    assert "int8 (fast, 1 thread)" in titles


def test_another_way_to_run_that_misses_the_limit_is_not_taken() -> None:
    selection = FakeSelection(
        {"": 1.0, "fast": 0.5, "slow": 3.0}, {"": 0.0, "fast": 0.0, "slow": 0.0}, alone=0.5, alone_drop=0.1
    )
    assert run(selection)[0].trial.choice.execution == {}


def test_only_what_is_near_the_front_is_run_otherwise() -> None:
    selection = FakeSelection({"": 1.0, "fast": 0.5, "slow": 0.52}, {"": 0.0, "fast": 0.0, "slow": 0.0}, alone=0.9)
    run(selection)
    assert {scheme for scheme, verdict in selection.notes if "own way" in verdict} == {"fast"}


def test_what_another_way_costs_in_accuracy_is_not_told_before_it_was_judged() -> None:
    selection = FakeSelection({"": 1.0, "fast": 0.5, "slow": 3.0}, {"": 0.0, "fast": 0.0, "slow": 0.0}, alone=1.2)
    run(selection)
    listed = selection.ledger.to_json()["candidates"]
    (alone,) = [one for one in listed if one["candidate"] == "int8 (fast, 1 thread)"]  # type: ignore[attr-defined]
    assert alone["drop"] is None
    assert selection.notes[-1][1].startswith("undone")
