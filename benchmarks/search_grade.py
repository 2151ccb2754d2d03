"""Search-grade timing: which of several engines is fastest, in seconds. It decides what to build; it is never reported.

One child process holds every arm. Arms take turns in blocks, forwards and backwards (ABBA), and each block is timed
after 80 ms of untimed runs: ONNX Runtime's idle threads spin for about 40 ms after a run and slow down whatever
engine runs next. An arm that is far behind is dropped after a few rounds. When an arm crashes or hangs the process,
it is named, and the others are timed again without it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from edgewright.backends import Artifact, Limits, call_isolated
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.core.bundle.golden import write_samples
from edgewright.core.errors import EngineError
from edgewright.core.tensors import Feeds
from edgewright.core.workdir import working_folder

DEADLINE_S = 120.0
"""For the whole measurement, beyond the time the arms are meant to take; opening and slow models included."""
_CHILD = "edgewright.benchmarks._search_child:time_here"
_PATIENCE = 10.0
"""How many times ``seconds_per_arm`` an arm may really take before it counts as hung."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One engine to be timed, and the distinct inputs it cycles through."""

    name: str
    artifact: Artifact
    feeds: Sequence[Feeds]

    def __post_init__(self) -> None:
        if not self.feeds:
            raise ValueError(f"arm {self.name} has no inputs")


@dataclass(frozen=True)
class ArmTiming:
    """What an arm took; ``median_ms`` is the median of its blocks' medians, None when it could not be timed."""

    name: str
    median_ms: float | None
    block_medians: tuple[float, ...] = ()
    failure: EngineError | None = field(default=None, compare=False)


def time_arms(
    arms: Sequence[Arm],
    seconds_per_arm: float = 2.0,
    threads: int = 1,
    *,
    device: str = "cpu",
    log: Callable[[str], None] = lambda _line: None,
) -> list[ArmTiming]:
    """Times ``arms`` against each other on this machine, in their order.

    Args:
        arms: names must be distinct.
        seconds_per_arm: wall-clock seconds each arm gets, its untimed runs included; slow models take longer.
        threads: compute threads of every engine; one that was fastest with fewer gets those.
        device: whose timing lock is held.
        log: takes one line of talk at a time.

    Raises:
        EngineError: the child could not be started at all.
    """
    if len({arm.name for arm in arms}) != len(arms):
        raise ValueError("two arms have the same name")
    found: dict[str, ArmTiming] = {}
    with timing_lock(device, log), working_folder() as folder:
        remaining = list(arms)
        while remaining:
            timed, blamed = _attempt(remaining, seconds_per_arm, threads, folder)
            found |= timed
            remaining = [arm for arm in remaining if blamed is not None and arm.name not in found]
    return [found[arm.name] for arm in arms]


def _attempt(
    arms: list[Arm], seconds_per_arm: float, threads: int, folder: Path
) -> tuple[dict[str, ArmTiming], str | None]:
    """One child's results; when it died, only the arm to blame for that, and its name."""
    place = folder / "place"
    place.write_text("0")
    plan = {
        "arms": [_described(index, arm, folder) for index, arm in enumerate(arms)],
        "seconds_per_arm": seconds_per_arm,
        "threads": threads,
        "place": str(place),
    }
    (folder / "plan.json").write_text(json.dumps(plan))
    limits = Limits(deadline_s=DEADLINE_S + _PATIENCE * seconds_per_arm * len(arms))
    try:
        answer = call_isolated(
            _CHILD, {"plan": str(folder / "plan.json")}, engine="the engine", doing="being timed", limits=limits
        )
    except EngineError as error:
        # The child wrote down whose turn it was before it gave the processor to an engine.
        blamed = arms[int(place.read_text() or "0")]
        return {blamed.name: ArmTiming(blamed.name, None, (), error)}, blamed.name
    rows = cast("list[dict[str, object]]", answer)
    return {arm.name: _timing(arm.name, row) for arm, row in zip(arms, rows, strict=True)}, None


def _described(index: int, arm: Arm, folder: Path) -> dict[str, object]:
    path = folder / f"{index}.npz"
    with path.open("wb") as file:
        write_samples(file, arm.feeds, arm.artifact.inputs)
    return {"artifact": arm.artifact.to_json(), "feeds": str(path)}


def _timing(name: str, row: dict[str, object]) -> ArmTiming:
    if failure := cast("dict[str, str] | None", row["failure"]):
        return ArmTiming(name, None, (), EngineError(failure["problem"], failure["remedy"], failure["kind"]))
    medians = tuple(cast("list[float]", row["block_medians"]))
    return ArmTiming(name, cast("float", row["median_ms"]), medians)
