"""Interleaved timing: in every round each arm has a block of inferences in each boundary, in an order drawn anew."""

from __future__ import annotations

import gc
import random
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import cast

from edgewright.benchmarks.gpu_check.arms import Arm
from edgewright.benchmarks.gpu_check.plan import Boundary, Effort
from edgewright.benchmarks.harness.nvml import CLOCK_DROP_LIMIT, VOIDING, Clocks

MOST_VOIDED = 3
"""Rounds that are made again; after that, disturbance is accepted and said."""
_PROBES = 5
Visit = tuple[str, Boundary]


@dataclass
class Rounds:
    """Raw results. Blocks of nanoseconds, by arm and boundary, one for each round that counts."""

    wall: dict[Visit, list[list[int]]] = field(default_factory=dict)
    device: dict[Visit, list[list[int]]] = field(default_factory=dict)
    order: list[list[str]] = field(default_factory=list)
    """``arm/boundary`` in the order of each round that counts."""
    clocks: list[dict[str, object]] = field(default_factory=list)
    """A reading behind each visit, with the visit's name as ``after``; the first and the last stand alone."""
    voided: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Arm -> why it fell out on the way."""

    @property
    def count(self) -> int:
        """Rounds that count."""
        return len(self.order)


class Interleaver:
    """Times arms against each other.

    Args:
        arms: by name; each is run on ``samples`` distinct samples in turn.
        samples: how many.
        effort: how much.
        seed: of the orders.
        read_clocks: reads the GPU's clocks; None where there are none.
        at: called with the arm's name before it is run, so that a crash has a name.
        describe: turns what an engine raised into a line.
    """

    def __init__(
        self,
        arms: Mapping[str, Arm],
        samples: int,
        effort: Effort,
        seed: int,
        *,
        read_clocks: Callable[[], Clocks | None],
        at: Callable[[str], None] = lambda _name: None,
        describe: Callable[[Exception], str] = str,
    ) -> None:
        self._arms, self._samples, self._effort = dict(arms), samples, effort
        self._random = random.Random(seed)  # noqa: S311 - an order, not a secret
        self._read_clocks, self._at, self._describe = read_clocks, at, describe
        self._sizes: dict[Visit, int] = {}
        self._fastest: dict[Visit, int] = {}
        """The highest SM clock seen behind a visit: an arm that draws more power has a lower one of its own."""
        self._turn = 0
        self.found = Rounds()

    def run(self, deadline: float) -> Rounds:
        """Rounds until there are enough or ``deadline`` (of ``time.monotonic``) has come; at least one."""
        # What is there stays out of every collection: torch's own objects alone would take a tenth of a second.
        gc.collect()
        gc.freeze()
        try:
            return self._run(deadline)
        finally:
            gc.unfreeze()

    def _run(self, deadline: float) -> Rounds:
        self._read("start")
        for name in list(self._arms):
            self._guarded(name, lambda name=name: self._warm(name))  # type: ignore[misc]
        longest = 0.0
        while self._arms and self.found.count < self._effort.rounds:
            began = time.monotonic()
            if self.found.count and began + longest > deadline:
                break
            self._round()
            longest = max(longest, time.monotonic() - began)
        self._read("end")
        for name in self.found.failed:
            for series in (self.found.wall, self.found.device):
                for visit in [visit for visit in series if visit[0] == name]:
                    del series[visit]
        return self.found

    def _visits(self) -> list[Visit]:
        return [(name, boundary) for name, arm in self._arms.items() for boundary in arm.boundaries]

    def _round(self) -> None:
        visits = self._visits()
        self._random.shuffle(visits)
        wall: dict[Visit, list[int]] = {}
        device: dict[Visit, list[int]] = {}
        reasons: list[str] = []
        for visit in visits:
            if visit[0] in self.found.failed:
                continue
            self._guarded(visit[0], lambda visit=visit: self._block(visit, wall, device))  # type: ignore[misc]
            if (reason := self._held_back(visit, self._read("/".join(visit)))) is not None:
                reasons.append(reason)
        if reasons and len(self.found.voided) < MOST_VOIDED:
            self.found.voided.append(f"round {self.found.count + 1} made again: {reasons[0]}")
            return
        for visit, block in wall.items():
            self.found.wall.setdefault(visit, []).append(block)
        for visit, block in device.items():
            self.found.device.setdefault(visit, []).append(block)
        self.found.order.append(["/".join(visit) for visit in visits])

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        self._at(name)
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever an engine raises is a line of the record
            self.found.failed[name] = self._describe(error)
            self._arms.pop(name, None)

    def _warm(self, name: str) -> None:
        arm, effort = self._arms[name], self._effort
        for boundary in arm.boundaries:
            self._settle(arm, boundary, effort.warm_s)
            typical = statistics.median(self._timed(arm, boundary) for _ in range(_PROBES))
            wanted = round(effort.block_s * 1e9 / max(typical, 1))
            self._sizes[name, boundary] = min(max(wanted, effort.block_least), effort.block_most)

    def _block(self, visit: Visit, wall: dict[Visit, list[int]], device: dict[Visit, list[int]]) -> None:
        arm, boundary = self._arms[visit[0]], visit[1]
        self._settle(arm, boundary, self._effort.settle_s)
        times: list[int] = []
        events: list[int] = []
        gc.collect()
        gc.disable()
        try:
            for _ in range(self._sizes[visit]):
                times.append(self._timed(arm, boundary))
                if (took := arm.device_ns()) is not None:
                    events.append(took)
        finally:
            gc.enable()
        wall[visit] = times
        if events:
            device[visit] = events

    def _settle(self, arm: Arm, boundary: Boundary, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._timed(arm, boundary)
        while time.monotonic() < until:
            self._timed(arm, boundary)

    def _timed(self, arm: Arm, boundary: Boundary) -> int:
        index = self._turn % self._samples
        self._turn += 1
        start = time.perf_counter_ns()
        arm.run(boundary, index)
        return time.perf_counter_ns() - start

    def _read(self, after: str) -> Clocks | None:
        reading = self._read_clocks()
        if reading is not None:
            self.found.clocks.append({"after": after, **asdict(reading)})
        return reading

    def _held_back(self, visit: Visit, reading: Clocks | None) -> str | None:
        """What speaks against this visit: a throttling, or a clock that has fallen since the same arm ran before."""
        if reading is None:
            return None
        for reason in reading.throttle or ():
            if reason in VOIDING:
                return f"the GPU throttled itself: {reason}"
        if reading.sm_mhz is None:
            return None
        best = self._fastest[visit] = max(reading.sm_mhz, self._fastest.get(visit, 0))
        if reading.sm_mhz < (1 - CLOCK_DROP_LIMIT) * best:
            return f"the SM clock fell from {best} to {reading.sm_mhz} MHz"
        return None


def series_of(found: Mapping[Visit, list[list[int]]], arm: str) -> dict[str, list[list[int]]]:
    """The blocks of one arm by boundary."""
    return {cast("str", boundary): blocks for (name, boundary), blocks in found.items() if name == arm}
