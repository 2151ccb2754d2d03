from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from edgewright.benchmarks.gpu_check.arms import Arm
from edgewright.benchmarks.gpu_check.plan import Boundary, Effort
from edgewright.benchmarks.gpu_check.rounds import MOST_VOIDED, Interleaver, Rounds, series_of
from edgewright.benchmarks.harness.nvml import Clocks
from edgewright.core.tensors import Array

SHORT = Effort(rounds=8, block_s=0.001, block_least=3, block_most=5, settle_s=0.0, warm_s=0.0)


class FakeArm(Arm):
    def __init__(self, microseconds: int, boundaries: tuple[Boundary, ...] = ("host",), fails_at: int = 0) -> None:
        self.versions, self.boundaries = {}, boundaries
        self.microseconds, self.fails_at, self.runs = microseconds, fails_at, 0
        self.seen: list[int] = []

    def run(self, boundary: Boundary, index: int) -> None:
        assert boundary in self.boundaries
        self.runs += 1
        self.seen.append(index)
        if self.runs == self.fails_at:
            raise RuntimeError("out of memory")
        until = time.perf_counter_ns() + self.microseconds * 1000
        while time.perf_counter_ns() < until:
            pass

    def device_ns(self) -> int | None:
        return self.microseconds * 900 if "device" in self.boundaries else None

    def answer(self, index: int) -> Array:
        return np.zeros(index)


def no_clocks() -> Clocks | None:
    return None


def times(
    arms: dict[str, Arm], read_clocks: Callable[[], Clocks | None] = no_clocks, seed: int = 0, seconds: float = 60.0
) -> Rounds:
    return Interleaver(arms, 4, SHORT, seed, read_clocks=read_clocks).run(time.monotonic() + seconds)


def test_every_round_has_a_block_of_every_arm_in_every_boundary_in_an_order_of_its_own() -> None:
    slow, fast = FakeArm(400, ("host", "device")), FakeArm(100)
    found = times({"slow": slow, "fast": fast})
    assert found.count == 8
    assert {tuple(sorted(order)) for order in found.order} == {("fast/host", "slow/device", "slow/host")}
    assert len({tuple(order) for order in found.order}) > 1
    assert set(found.wall) == {("slow", "host"), ("slow", "device"), ("fast", "host")}
    assert {len(blocks) for blocks in found.wall.values()} == {8}
    assert {len(block) for block in found.wall["slow", "host"]} == {3}  # a millisecond holds fewer than the least
    assert {len(block) for block in found.wall["fast", "host"]} <= {3, 4, 5}
    assert min(took for block in found.wall["slow", "device"] for took in block) >= 400_000
    assert set(slow.seen) == set(fast.seen) == {0, 1, 2, 3}
    assert [len(block) for block in found.device["slow", "host"]] == [3] * 8
    assert ("fast", "host") not in found.device
    assert series_of(found.wall, "slow").keys() == {"host", "device"}


def test_orders_follow_the_seed() -> None:
    orders = [times({name: FakeArm(10) for name in "abcd"}, seed=seed).order for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_an_arm_that_fails_on_the_way_falls_out_and_the_others_go_on() -> None:
    found = times({"good": FakeArm(50), "bad": FakeArm(50, fails_at=25)})
    assert found.failed == {"bad": "out of memory"}
    assert set(found.wall) == {("good", "host")}
    assert len(found.wall["good", "host"]) == 8


def test_one_round_is_made_however_late_it_is() -> None:
    assert times({"a": FakeArm(50)}, seconds=-1.0).count == 1


def readings(*speeds: int, throttle: tuple[str, ...] = ()) -> Callable[[], Clocks]:
    """The start, then a reading behind each block, the last one for ever."""
    left = list(speeds)
    return lambda: Clocks(left.pop(0) if len(left) > 1 else left[0], 2600, 60, throttle)


def test_a_round_in_which_the_clock_fell_is_made_again() -> None:
    found = times({"a": FakeArm(20)}, readings(300, 1000, 1000, 900, 1000))  # idle, then three rounds
    assert found.voided == ["round 3 made again: the SM clock fell from 1000 to 900 MHz"]
    assert found.count == 8
    assert [row["after"] for row in found.clocks] == ["start", *["a/host"] * 9, "end"]


def test_an_arm_with_a_lower_clock_of_its_own_is_no_disturbance() -> None:
    arms: dict[str, Arm] = {"hungry": FakeArm(20), "light": FakeArm(20)}
    interleaver = Interleaver(arms, 4, SHORT, 0, read_clocks=lambda: Clocks(reading[0], 2600, 60, ("power cap",)))
    reading = [1000]

    def slower_when_hungry(boundary: Boundary, index: int) -> None:
        reading[0] = 1500

    def faster_when_light(boundary: Boundary, index: int) -> None:
        reading[0] = 1900

    arms["hungry"].run, arms["light"].run = slower_when_hungry, faster_when_light  # type: ignore[method-assign]
    assert interleaver.run(time.monotonic() + 60).voided == []


def test_a_gpu_that_throttles_for_ever_is_accepted_and_said() -> None:
    found = times({"a": FakeArm(20)}, readings(1000, throttle=("hardware thermal slowdown",)))
    assert found.voided == ["round 1 made again: the GPU throttled itself: hardware thermal slowdown"] * MOST_VOIDED
    assert found.count == 8


def test_whose_turn_it_is_is_told_before_it_begins() -> None:
    told: list[str] = []

    class Nosy(FakeArm):
        def run(self, boundary: Boundary, index: int) -> None:
            assert told[-1] == "b"

    Interleaver({"a": FakeArm(10), "b": Nosy(10)}, 4, SHORT, 0, read_clocks=no_clocks, at=told.append).run(
        time.monotonic() + 60
    )
    assert set(told) == {"a", "b"}


@pytest.mark.parametrize("microseconds", [10, 200])
def test_blocks_keep_to_their_bounds(microseconds: int) -> None:
    found = times({"a": FakeArm(microseconds)})
    assert all(3 <= len(block) <= 5 for block in found.wall["a", "host"])
