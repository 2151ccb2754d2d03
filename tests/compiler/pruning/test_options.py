from __future__ import annotations

import pytest

from edgewright.compiler.pruning.options import (
    PruneOptions,
    effective_goal,
    format_widths,
    parse_goal,
    parse_widths,
)
from edgewright.compiler.site import Goal


@pytest.mark.parametrize(
    ("text", "goal"),
    [
        ("latency=0.5x", Goal(latency_ratio=0.5)),
        ("latency = 3ms", Goal(latency_ms=3.0)),
        ("latency=1.5s", Goal(latency_ms=1500.0)),
        ("size=1MB", Goal(max_bytes=1_000_000)),
        ("macs=0.25", Goal(ratio=0.75)),
        ("ratio=40%", Goal(ratio=0.4)),
    ],
)
def test_goals_are_read(text: str, goal: Goal) -> None:
    assert parse_goal(text) == goal


@pytest.mark.parametrize(
    "text", ["latency=3", "latency=2x", "latency=0x", "size=x", "macs=1", "ratio=0", "speed=2", "0.5x", "macs=nan"]
)
def test_what_is_no_goal_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=r"^goal: "):
        PruneOptions(goal=text)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"importance": "luck"}, "importance"),
        ({"cuts": "all"}, "cuts"),
        ({"steps": 0}, "steps"),
        ({"floor": 0.0}, "floor"),
        ({"samples": 0}, "samples"),
        ({"margin": 0.5}, "margin"),
        ({"undercut": 0.5}, "undercut"),
        ({"widths": ("a=-1",)}, "widths"),
        ({"widths": ("a=8,16",)}, "widths"),
        ({"widths": ("a",)}, "widths"),
        ({"widths": ("=4",)}, "widths"),
    ],
)
def test_wrong_values_are_refused_by_their_field(options: dict[str, object], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        PruneOptions(**options)  # type: ignore[arg-type]


def test_widths_come_back_as_they_were_written() -> None:
    lines = ("layer1.0.conv1=48,32", "z=8,8")
    assert format_widths(parse_widths(lines)) == lines


def test_the_command_lines_goal_wins_and_the_recipes_keeps_what_was_timed() -> None:
    options = PruneOptions(goal="latency=0.5x")
    assert effective_goal(Goal(max_bytes=10), options) == Goal(max_bytes=10)
    assert effective_goal(Goal(float32_ms={"t": 4.0}), options) == Goal(latency_ratio=0.5, float32_ms={"t": 4.0})
    assert effective_goal(Goal(), PruneOptions()) is None
