"""The search for settings: its budget, that it learns, that it goes on, and that what it found is what is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("optuna")

from edgewright.core.errors import UnavailableError
from edgewright.driver.recipe import PassSetting, Recipe
from edgewright.driver.search_budget import SearchBudget, parse_search
from edgewright.driver.settings import search_settings


@dataclass(frozen=True)
class FakeChain:
    """Best near a learning rate of 3e-4 and a temperature of 4."""

    folder: Path
    job: object
    stages: tuple[str, ...] = ("prune", "distil", "qat")
    lanes: tuple[tuple[str, object], ...] = (("out", SimpleNamespace(target=None)),)
    widths: tuple[str, ...] = ()
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    runs: list[dict[str, dict[str, object]]] = field(default_factory=list)
    fails: bool = False

    def run(self):
        assert "qat" not in self.stages
        self.runs.append(self.settings)
        if self.fails:
            raise UnavailableError("no torch")
        distil = self.settings["distil"]
        drop = abs(float(distil["learning_rate"]) / 3e-4 - 1) + abs(float(distil["temperature"]) - 4)
        return [SimpleNamespace(drop=drop)]


def chain(tmp_path: Path, **changes: object) -> FakeChain:
    recipe = Recipe(passes=(PassSetting("distil", {"epochs": 9, "learning_rate": 0.01}),))
    request = SimpleNamespace(seed=0, log=lambda _line: None)
    job = SimpleNamespace(request=request, recipe=recipe, recipe_digest=lambda _target: "a" * 64)
    return FakeChain(tmp_path, job, **changes)  # type: ignore[arg-type]


def drop_of(found) -> float:
    return abs(found["distil"]["learning_rate"] / 3e-4 - 1) + abs(found["distil"]["temperature"] - 4)


def test_the_recipes_own_settings_come_first_and_are_improved_on(tmp_path: Path) -> None:
    one = chain(tmp_path)
    found = search_settings(one, SearchBudget(25, "trials"))  # type: ignore[arg-type]
    assert one.runs[0]["distil"] == {"learning_rate": 0.01, "temperature": 2.0, "epochs": 3}
    assert len(one.runs) == 25
    first = {"distil": {"learning_rate": 0.01, "temperature": 2.0}}
    assert drop_of(found) < 0.2 * drop_of(first)
    assert drop_of(found) == min(drop_of(run) for run in one.runs)
    assert "epochs" not in found["distil"], "trials are short, the training that follows is not"


def test_a_search_goes_on_from_where_it_was(tmp_path: Path) -> None:
    search_settings(chain(tmp_path), SearchBudget(6, "trials"))  # type: ignore[arg-type]
    again = chain(tmp_path)
    search_settings(again, SearchBudget(10, "trials"))  # type: ignore[arg-type]
    assert len(again.runs) == 4
    done = chain(tmp_path)
    search_settings(done, SearchBudget(10, "trials"))  # type: ignore[arg-type]
    assert done.runs == []


def test_widths_of_a_plan_are_not_searched_for(tmp_path: Path) -> None:
    one = replace(chain(tmp_path), widths=("a=8",))
    assert search_settings(one, SearchBudget(2, "trials")).keys() == {"distil"}  # type: ignore[arg-type]


def test_no_trial_that_ends_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="no trial"):
        search_settings(chain(tmp_path, fails=True), SearchBudget(2, "trials"))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "0", "-3", "2.5", "many", "0min", "infmin"])
def test_a_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number of trials"):
        parse_search(text)
