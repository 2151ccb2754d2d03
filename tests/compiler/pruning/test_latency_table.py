from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from edgewright.compiler.pruning.extents import Extent, Extents
from edgewright.compiler.pruning.latency_table import Entry, LatencyTable, candidates, read_table
from edgewright.compiler.pruning.options import PruneOptions
from edgewright.compiler.pruning.rounds import Recipe, begin
from edgewright.compiler.torch_stage.context import StageContext
from edgewright.core.model import OnnxModel

from .bench import Clock, context_for, weights_only


def table(*entries: tuple[str, int, Mapping[str, float]], noise: float = 0.0) -> LatencyTable:
    return LatencyTable({"t": 10.0, "u": 5.0}, tuple(Entry(*one) for one in entries), noise)


def test_what_is_slower_than_a_wider_one_is_barred() -> None:
    found = table(
        ("a", 32, {"t": 8.0, "u": 4.0}),
        ("a", 16, {"t": 9.0, "u": 3.0}),  # slower than 32 on t
        ("b", 32, {"t": 10.5, "u": 4.0}),  # slower than the full model on t
        ("b", 16, {"t": 8.0, "u": 4.1}),  # 2.5 % slower than 32 on u
        ("c", 8, {"t": 9.0}),  # does not run on u
    )
    assert found.barred(0.03) == {"a": {16}, "b": {32}, "c": {8}}
    assert replace(found, noise=0.2).barred(0.03) == {"c": {8}}


def test_the_better_of_two_times_counts_on_the_scale_of_the_first_session() -> None:
    first = table(("a", 32, {"t": 12.0}), ("b", 8, {"t": 9.0, "u": 1.0}))
    second = LatencyTable({"t": 20.0, "u": 10.0}, (Entry("a", 32, {"t": 18.0, "u": 8.0}),), 0.1)
    merged = first.at_best(second)
    assert merged.entries == (Entry("a", 32, {"t": 9.0, "u": 4.0}), first.entries[1])
    assert (merged.full_ms, merged.noise) == (first.full_ms, 0.1)


def test_only_groups_with_something_to_gain_are_timed_the_greatest_first() -> None:
    extents = Extents(
        (
            Extent("a", (64, 3), {0: {"big": 1}}, 1_000_000),
            Extent("b", (64, 3), {0: {"middling": 1}}, 40_000),
            Extent("c", (64, 3), {0: {"small": 1}}, 1_000),
        ),
        {"big": 64, "middling": 64, "small": 64},
        {},
    )
    steps = dict.fromkeys(extents.units, (64, 48, 32, 16))
    assert candidates(extents, steps) == [("big", 32), ("big", 16), ("middling", 32)]
    assert candidates(extents, {**steps, "big": (64,)}) == [("middling", 32)]


class Drifting(Clock):
    """A machine that is slower by a tenth in each further session, and disturbed once."""

    def __call__(self, models: Sequence[OnnxModel]) -> list[Mapping[str, float]]:
        rows = super().__call__(models)
        slow = 1 + 0.1 * (self.calls - 1)
        found = [{target: ms * slow for target, ms in row.items()} for row in rows]
        if self.calls == 1:
            found[1] = {"one": 100.0}
        return list(found)


def asked(context: StageContext, wanted: Sequence[tuple[str, int]]) -> LatencyTable:
    recipe = Recipe(context.example_inputs, [context.example_inputs], [context.example_inputs], (), 1, PruneOptions())
    state = begin(context.module, recipe)
    template = weights_only(context.module)
    return read_table(
        context, template, lambda name, width: state.cut({name: width}, made_up=False), wanted, margin=0.03
    )


def test_a_disturbance_is_timed_again_and_the_answer_is_kept(tmp_path: Path) -> None:
    clock, calm = Drifting(), Clock()
    context = context_for(tmp_path, PruneOptions(), measure=clock)
    found = asked(context, [("a", 8), ("b", 16)])
    (tmp_path / "calm").mkdir()
    expected = asked(context_for(tmp_path / "calm", PruneOptions(), measure=calm), [("a", 8), ("b", 16)])
    assert clock.calls == 2
    assert calm.calls == 1
    assert [(one.group, one.width) for one in found.entries] == [("a", 8), ("b", 16)]
    for one, other in zip(found.entries, expected.entries, strict=True):
        assert abs(one.ms["one"] - other.ms["one"]) < 1e-9
    assert asked(context, [("a", 8), ("b", 16)]) == found
    assert clock.calls == 2
    assert asked(context, [("a", 8)]).entries != found.entries  # another question
    (tmp_path / "latency_table.json").write_text("{")
    assert len(asked(context, [("a", 8)]).entries) == 1  # a file that was cut short is no obstacle
