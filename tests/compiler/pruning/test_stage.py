from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.pruning.stage import _data, prune
from edgewright.compiler.site import Absent, Goal
from edgewright.compiler.torch_stage.arrays import Arrays
from edgewright.compiler.torch_stage.context import StoppedError
from edgewright.compiler.torch_stage.request import StageResult
from edgewright.compiler.torch_stage.state import load_state
from edgewright.core.errors import UsageError

from .bench import Clock, chain, context_for

HALF = PruneOptions(goal="latency=0.5x")


def notes(result: StageResult, kind: str) -> str:
    return "\n".join(f"{note.subject}: {note.text}" for note in result.notes if note.kind == kind)


def loaded(folder: Path) -> nn.Module:
    module = chain()
    load_state(folder, module)
    return module.eval()


def test_a_goal_in_latency_is_reached_where_it_harms_least(tmp_path: Path) -> None:
    clock = Clock()
    result = prune(context_for(tmp_path, HALF, measure=clock))
    took, full = result.timings["ms"], result.timings["full_ms"]
    assert isinstance(took, dict)
    assert isinstance(full, dict)
    assert 0.35 * full["one"] < took["one"] <= 0.5 * full["one"]
    units = result.figures["units"]
    assert isinstance(units, dict)
    assert units["b"][1] <= 16  # three quarters of its channels do nothing
    assert float(str(result.figures["damage"])) < 0.1
    module = loaded(tmp_path)
    assert module.get_submodule("b").out_channels == units["b"][1]
    assert sum(value.numel() for value in module.parameters()) == result.parameters
    assert "warning" not in {note.kind for note in result.notes}
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 8, 8)).shape == (1, 5)


def test_the_journal_has_no_times_and_the_record_has_them(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, HALF))
    assert "ms" not in str(result.figures)
    assert set(result.figures) == {"widths", "units", "macs", "parameters", "damage", "rounds"}
    assert "entries" in str(result.timings["steps"])


def test_a_plan_is_repeated_to_the_byte_without_measuring(tmp_path: Path) -> None:
    first = prune(context_for(tmp_path / "first", HALF))
    clock = Clock()
    options = PruneOptions(goal="latency=0.5x", widths=tuple(str(one) for one in first.figures["widths"]))  # type: ignore[attr-defined]
    again = prune(context_for(tmp_path / "again", options, goal=Goal(latency_ratio=0.1), measure=clock))
    assert clock.calls == 0
    assert again.figures == first.figures
    one, other = loaded(tmp_path / "first").state_dict(), loaded(tmp_path / "again").state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_plan_for_another_model_names_its_groups(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'layer9' is no group of this model"):
        prune(context_for(tmp_path, PruneOptions(widths=("layer9=4",))))


def test_two_runs_agree(tmp_path: Path) -> None:
    one, other = (prune(context_for(tmp_path / name, HALF)) for name in ("a", "b"))
    assert (one.figures, one.notes) == (other.figures, other.notes)
    assert (tmp_path / "a" / "weights.pt").read_bytes() == (tmp_path / "b" / "weights.pt").read_bytes()


def test_what_was_timed_is_not_timed_again(tmp_path: Path) -> None:
    first, second = Clock(), Clock()
    prune(context_for(tmp_path, HALF, measure=first))
    prune(context_for(tmp_path, HALF, measure=second))
    assert second.seen < first.seen - 4


def test_the_limits_of_each_target_are_kept(tmp_path: Path) -> None:
    clock = Clock({"fast": 4000.0, "slow": 500.0}, fixed_ms=0.1)
    goal = Goal(latency_ratio=0.5, limits_ms={"fast": 1.2, "slow": 6.0})
    result = prune(context_for(tmp_path, PruneOptions(), goal=goal, measure=clock))
    took = result.timings["ms"]
    assert isinstance(took, dict)
    assert took["slow"] <= 6.0
    assert took["fast"] <= 1.2


def test_a_goal_that_cannot_be_had_says_by_how_much_and_takes_most_of_what_can(tmp_path: Path) -> None:
    narrowest = ("a=4", "b=8", "c=4")
    prune(context_for(tmp_path, PruneOptions(widths=narrowest)))
    clock = Clock()
    least = clock([context_for(tmp_path, PruneOptions()).export(loaded(tmp_path))])[0]["one"]
    result = prune(context_for(tmp_path, PruneOptions(goal="latency=0.02x", floor=0.25)))
    warnings = notes(result, "warning")
    assert "the goal is out of reach" in warnings
    assert "the goal is missed: latency on one is" in warnings
    full, took = result.timings["full_ms"], result.timings["ms"]
    assert isinstance(full, dict)
    assert isinstance(took, dict)
    gained = (full["one"] - took["one"]) / (full["one"] - least)
    assert 0.6 < gained < 1.0, "the last of it costs the most accuracy"


def test_a_goal_that_can_just_be_had_is_had_though_no_undercut_of_it_can(tmp_path: Path) -> None:
    prune(context_for(tmp_path, PruneOptions(widths=("a=4", "b=8", "c=4"))))
    exported = [context_for(tmp_path, PruneOptions()).export(one) for one in (loaded(tmp_path), chain().eval())]
    least, full = (row["one"] for row in Clock()(exported))
    goal = 1.1 * least / full
    options = PruneOptions(goal=f"latency={goal:.4f}x", floor=0.25, undercut=0.15)
    result = prune(context_for(tmp_path, options))
    assert notes(result, "warning") == ""
    times, before = result.timings["ms"], result.timings["full_ms"]
    assert isinstance(times, dict)
    assert isinstance(before, dict)
    assert times["one"] <= goal * before["one"]


def test_a_width_that_measures_slower_is_barred_and_named(tmp_path: Path) -> None:
    def quirk(shapes: Mapping[str, tuple[int, ...]]) -> float:
        return 4.0 if shapes["b.weight"][0] == 16 else 0.0

    result = prune(context_for(tmp_path, PruneOptions(goal="latency=0.7x"), measure=Clock(quirk=quirk)))
    assert "b: [16] units measured no faster than a wider one: never taken" in notes(result, "skipped")
    units = result.figures["units"]
    assert isinstance(units, dict)
    assert units.get("b", [32, 32])[1] != 16
    assert notes(result, "warning") == ""


def test_a_round_that_measures_slower_is_undone(tmp_path: Path) -> None:
    def quirk(shapes: Mapping[str, tuple[int, ...]]) -> float:
        """No width by itself is slow, their combinations are."""
        narrow = sum(shapes[f"{name}.weight"][0] < full for name, full in (("a", 16), ("b", 32), ("c", 16)))
        return 20.0 if narrow > 1 else 0.0

    result = prune(context_for(tmp_path, PruneOptions(goal="latency=0.2x"), measure=Clock(quirk=quirk)))
    assert "measured slower on one: undone" in notes(result, "skipped")
    assert "the goal is missed" in notes(result, "warning")
    assert sum(one.count("->") for one in notes(result, "did").splitlines()) <= 1


def test_without_a_clock_multiplications_stand_in_for_a_ratio(tmp_path: Path) -> None:
    absent = Absent("no such device here")
    result = prune(context_for(tmp_path, HALF, measure=absent))
    before, after = result.figures["macs"]  # type: ignore[misc]
    assert after <= 0.5 * before
    assert "latency cannot be measured (no such device here): multiplications stand in" in notes(result, "warning")
    nothing = prune(context_for(tmp_path, PruneOptions(goal="latency=1ms"), measure=absent))
    assert nothing.changed == 0
    assert "nothing is pruned" in notes(nothing, "warning")


@pytest.mark.parametrize(("goal", "share"), [("macs=0.4", 0.4), ("ratio=0.6", 0.4), ("size=12kB", None)])
def test_goals_that_are_counted_are_met_to_the_letter(tmp_path: Path, goal: str, share: float | None) -> None:
    result = prune(context_for(tmp_path, PruneOptions(goal=goal)))
    before, after = result.figures["macs"]  # type: ignore[misc]
    assert result.parameters is not None
    if share is None:
        assert 8_000 < 4 * result.parameters <= 12_000
        assert result.size_bytes == 4 * result.parameters
    else:
        assert share * before * 0.7 < after <= share * before


def test_rounding_and_kept_modules_hold(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, PruneOptions(goal="macs=0.5", keep=("a",)), multiple=8, keep=("c",)))
    units = result.figures["units"]
    assert isinstance(units, dict)
    assert set(units) == {"b"}
    assert units["b"][1] % 8 == 0
    assert "kept by 'a'" in notes(result, "skipped")


def test_groups_that_a_method_says_nothing_of_are_named(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, PruneOptions(goal="macs=0.7", importance="bn")))
    assert "b: no batch norm with a scale among its layers" in notes(result, "skipped")
    assert "a: no batch norm" not in notes(result, "skipped")


class Whole(nn.Module):
    """Its one layer is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.only = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.only(x)
        return answer


def test_a_model_without_groups_is_left_alone_and_the_operator_is_named(tmp_path: Path) -> None:
    result = prune(context_for(tmp_path, HALF, make=Whole))
    assert result.changed == 0
    assert "nothing of this model can be pruned: 'only'" in notes(result, "warning")
    assert not (tmp_path / "weights.pt").exists()


def test_no_goal_and_a_goal_that_is_met_change_nothing(tmp_path: Path) -> None:
    assert prune(context_for(tmp_path, PruneOptions())).changed == 0
    met = prune(context_for(tmp_path, PruneOptions(goal="size=1MB")))
    assert (met.changed, notes(met, "skipped")) == (
        0,
        "head: its channels reach an output of the model\n: the model meets the goal as it is",
    )


def test_without_data_it_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no data") as caught:
        prune(context_for(tmp_path, HALF, calibration=Absent("no data was given")))
    assert "--data" in caught.value.remedy


def test_a_stage_that_is_asked_to_stop_stops_between_rounds(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        prune(replace(context_for(tmp_path, HALF), stopping=lambda: True))
    assert (tmp_path / "latency_table.json").exists()


def test_damage_is_seen_on_other_samples_than_cuts_are_made_up_for_from(tmp_path: Path) -> None:
    context = context_for(tmp_path, HALF)
    batches, judged = _data(context, 64)
    mine, theirs = ({row.numpy().tobytes() for batch in some for row in batch[0]} for some in (batches, judged))
    assert mine
    assert theirs
    assert not mine & theirs
    assert isinstance(context.calibration, Arrays)
    others = Arrays({name: value + 1 for name, value in context.calibration.inputs.items()}, None, None)
    made_up, seen = _data(replace(context, train=others), 64)
    apart = torch.cat([batch[0] for batch in made_up]) - torch.cat([batch[0] for batch in seen])
    assert torch.allclose(apart, torch.ones(())), "of two sets, each serves one end"
    made_up, seen = _data(replace(context, select=others), 64)
    apart = torch.cat([batch[0] for batch in seen]) - torch.cat([batch[0] for batch in made_up])
    assert torch.allclose(apart, torch.ones(())), "samples that choices are made on have nothing to do with a cut's"
