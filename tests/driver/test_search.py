"""The tuner with a workshop that builds nothing: how trials are spent, and what is given back at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import cast

import pytest

from edgewright.compiler.pass_base import LayerDamage, Stage, Tunable
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.driver import search
from edgewright.driver.choice import Choice
from edgewright.driver.gains import Gains
from edgewright.driver.search import Trial, Tuner, attempt, fastest

LAYERS = [f"layer{index}" for index in range(16)]


class FakePass(Tunable):
    stage = Stage.QUANTIZE

    def alternatives(self) -> tuple[Mapping[str, object], ...]:
        return ({"ranges": "percentile"}, {"ranges": "mse"})

    def damage(self, model: object, site: object) -> list[LayerDamage]:
        del model, site
        return [LayerDamage(name, 1.0 - place / 100) for place, name in enumerate(LAYERS)]


@dataclass
class FakeWorkshop:
    """Loses 0.1, less for each layer that is spared, and less for one of the alternatives."""

    needed: int
    helps: str = ""
    site: object = None
    tried: list[Choice] = field(default_factory=list)

    def pipeline(self, _choice: Choice) -> object:
        return SimpleNamespace(passes=(FakePass(),))

    def before_quantisation(self, _choice: Choice) -> None:
        return None

    def drop(self, choice: Choice) -> float:
        self.tried.append(choice)
        base = 0.08 if choice.options.get("ranges") == "percentile" else 0.1
        if self.helps and choice.options.get("ranges") == self.helps:
            return 0.0
        return base * max(0.0, 1 - len(choice.kept_float) / self.needed) if self.needed else base


def tuner(workshop: FakeWorkshop, monkeypatch: pytest.MonkeyPatch, trials: int = 12) -> Tuner:
    def measured(shop: FakeWorkshop, _judge: object, _data: object, choice: Choice) -> Trial:
        return Trial(cast("search.Built", SimpleNamespace(choice=choice)), None, shop.drop(choice))

    monkeypatch.setattr(search, "measure", measured)
    unused = cast("Callable[..., object]", None)
    return Tuner(workshop, unused, unused, 0.01, trials, lambda _line: None)  # type: ignore[arg-type]


INT8 = Choice("onnxruntime", "int8", "conv")


def test_an_alternative_that_holds_ends_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = FakeWorkshop(needed=0, helps="mse")
    found = tuner(workshop, monkeypatch).tune(INT8)
    assert found.drop == 0.0
    assert found.choice.options == {"ranges": "mse"}
    assert len(workshop.tried) == 3


@pytest.mark.parametrize("needed", [1, 2, 3, 5, 8])
def test_the_fewest_layers_that_hold_are_spared_worst_first(needed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = FakeWorkshop(needed)
    found = tuner(workshop, monkeypatch, trials=20).tune(INT8)
    kept = found.choice.kept_float
    assert kept == tuple(LAYERS[: len(kept)])
    # Within 0.01 of 0.08: seven eighths of `needed`, rounded up, is the fewest that can hold.
    fewest = next(count for count in range(needed + 1) if 0.08 * (1 - count / needed) <= 0.01)
    assert len(kept) == fewest
    assert found.choice.options["ranges"] == "percentile", "the best of the alternatives is what layers are spared from"


def test_the_budget_of_trials_is_kept_and_the_best_found_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = FakeWorkshop(needed=10**6)
    found = tuner(workshop, monkeypatch, trials=6).tune(INT8)
    assert len(workshop.tried) <= 6
    assert found.drop == min(workshop.drop(choice) for choice in list(workshop.tried))


@pytest.mark.parametrize("needed", [12, 15, 16])
def test_a_trial_that_cannot_be_built_loses_nothing_and_fewer_layers_are_tried(
    needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fragile(FakeWorkshop):
        def drop(self, choice: Choice) -> float:
            if len(choice.kept_float) == len(LAYERS):
                self.tried.append(choice)
                raise UnavailableError("nothing is left to quantise")
            return super().drop(choice)

    found = tuner(Fragile(needed), monkeypatch, trials=30).tune(INT8)
    fewest = next(count for count in range(needed + 1) if 0.08 * (1 - count / needed) <= 0.01)
    assert len(found.choice.kept_float) == fewest
    never = tuner(Fragile(10**6), monkeypatch, trials=30).tune(INT8)
    assert len(never.choice.kept_float) == len(LAYERS) - 1, "the best that could be built is given back"


def test_what_was_tried_before_costs_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = FakeWorkshop(needed=5)
    first = tuner(workshop, monkeypatch, trials=20)
    found = first.tune(INT8)
    spent, tried = first.spent, len(workshop.tried)
    again = tuner(workshop, monkeypatch, trials=20)
    again.known = first.known
    assert again.tune(INT8).choice == found.choice
    assert (spent, again.spent, len(workshop.tried)) == (tried, 0, tried)


def test_a_second_search_keeps_in_float_what_the_first_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = FakeWorkshop(needed=5)
    start = INT8.varied(ranges="percentile", keep_float=("layer0", "layer9"))
    found = tuner(workshop, monkeypatch, trials=20).tune(start)
    assert found.choice.kept_float == ("layer0", "layer9", "layer1", "layer2", "layer3")
    assert found.drop == 0.0


def test_a_candidate_that_crashes_is_a_line_not_the_end() -> None:
    lines: list[str] = []

    def crash() -> Trial:
        raise EngineError("the engine died")

    assert attempt(crash, "int8", lines.append) is None
    assert lines == ["  int8 is out: the engine died"]


def _trials(count: int) -> list[Trial]:
    return [Trial(cast("search.Built", SimpleNamespace(choice=index)), None, 0.0) for index in range(count)]


@pytest.mark.parametrize(
    ("times", "winner"),
    [
        ([10.0, 9.6], 0),  # 4 % faster is a near-tie: the simpler stays
        ([10.0, 9.5], 1),
        ([10.0, 12.0, 5.0], 2),
        ([10.0, None, 5.0], 2),  # an arm that could not be timed is passed over
        ([None, None], 0),
    ],
)
def test_near_ties_go_to_the_simpler_candidate(times: list[float | None], winner: int) -> None:
    trials = _trials(len(times))
    assert fastest(trials, times) is trials[winner]


def test_what_gains_most_and_is_not_needed_is_quantised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class OneCounts(FakeWorkshop):
        def drop(self, choice: Choice) -> float:
            self.tried.append(choice)
            return 0.0 if "layer3" in choice.kept_float else 0.1

    plain = tuner(OneCounts(1), monkeypatch, trials=30)
    assert len(plain.tune(INT8).choice.kept_float) == 4, "without gains the worst four stay in float"
    knowing = tuner(OneCounts(1), monkeypatch, trials=30)
    knowing.gains = Gains({name: 0.1 + place / 1000 for place, name in enumerate(LAYERS)})
    assert knowing.tune(INT8).choice.kept_float == ("layer3",)


def test_when_time_is_over_no_trial_is_begun_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    late = tuner(workshop := FakeWorkshop(needed=4), monkeypatch)
    late.out_of_time = lambda: True
    assert late.tune(INT8).choice == INT8
    assert workshop.tried == [INT8]
