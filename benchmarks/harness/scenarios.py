"""How inferences are asked for: MLPerf's scenarios as values, and the schedules and batches that they mean.

``single-stream`` asks for the next inference when the last is done. ``offline`` has all samples at hand and wants as
many as possible done in a second, in batches where the model takes them. ``fixed-rate`` and ``server`` have a sample
arrive at stated times, evenly or as a Poisson process, whether or not the engine is free: a synchronous engine is one
server with one queue, and latency counts from the scheduled arrival, so that nothing slow can postpone what would have
shown it ("coordinated omission").

Reference: MLPerf Inference rules, "Scenarios" (github.com/mlcommons/inference_policies).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from edgewright.benchmarks.statistics import interval_95
from edgewright.core.errors import UsageError
from edgewright.core.tensors import Feeds, TensorSpec

ScenarioName = Literal["single-stream", "offline", "fixed-rate", "server"]
SCENARIOS: tuple[ScenarioName, ...] = get_args(ScenarioName)
DEFAULT_LOAD = 0.5
"""Without a stated rate, samples arrive at this share of the engine's throughput when it was warm: half of what it can
take is where queues begin to matter and no fluctuation of the machine makes them grow."""
HIGHEST_RATE = 100_000.0
"""Arrivals per second; at more than this the loop itself would be what is measured."""
MOST_BATCH = 65_536
_MOST_BATCHES, _MOST_BATCH_BYTES = 32, 1 << 28
_OVERRUN = 2.0
"""An overloaded run is cut when it has taken so many times the length of its schedule."""


@dataclass(frozen=True)
class Scenario:
    """A scenario and its numbers."""

    name: ScenarioName = "single-stream"
    rate_per_s: float | None = None
    """Arrivals a second; None is :data:`DEFAULT_LOAD` of the warm engine's throughput, for scenarios with arrivals."""
    batch: int = 1
    """Samples in one inference of ``offline``, where the model's first axis is free."""
    seed: int = 0
    """Of the Poisson arrivals."""

    @property
    def arrives(self) -> bool:
        """Whether samples arrive by a schedule."""
        return self.name in ("fixed-rate", "server")

    def rate_for(self, inference_ns: float) -> float | None:
        """Arrivals a second for an engine of that speed; None where nothing arrives."""
        if not self.arrives:
            return None
        return self.rate_per_s or float(f"{min(DEFAULT_LOAD * 1e9 / inference_ns, HIGHEST_RATE):.4g}")


SINGLE_STREAM = Scenario()


def scenario_named(
    name: str = "single-stream", rate_per_s: float | None = None, batch: int | None = None, seed: int = 0
) -> Scenario:
    """The scenario as the command line states it.

    Raises:
        UsageError: there is no such scenario, it has no rate or batch, or a number is out of its range.
    """
    if name not in SCENARIOS:
        raise UsageError(f"unknown scenario '{name}'", f"There are {', '.join(SCENARIOS)}.")
    scenario = Scenario(name, rate_per_s, 1 if batch is None else batch, seed)
    if rate_per_s is not None and not scenario.arrives:
        raise UsageError(
            f"--rate: nothing arrives in the scenario {name}", "Use fixed-rate or server, or leave it out."
        )
    if rate_per_s is not None and not 0 < rate_per_s <= HIGHEST_RATE:  # which NaN is not either
        raise UsageError(f"--rate is {rate_per_s:g}", f"Give arrivals per second, at most {HIGHEST_RATE:g}.")
    if batch is not None and name != "offline":
        raise UsageError(f"--batch: the scenario {name} has one sample in an inference", "Use --scenario offline.")
    if not 1 <= scenario.batch <= MOST_BATCH:
        raise UsageError(f"--batch is {scenario.batch}", f"Give 1 to {MOST_BATCH}.")
    if seed < 0:
        raise UsageError(f"--seed is {seed}", "Give 0 or more.")
    return scenario


def arrivals(
    scenario: ScenarioName, rate_per_s: float, inferences: int, seconds: float, seed: Sequence[int]
) -> npt.NDArray[np.int64]:
    """When samples arrive, in ns since the schedule begins: at least so many, and for at least so long on average.

    >>> arrivals("fixed-rate", 100.0, 3, 0.0, [0]).tolist()
    [0, 10000000, 20000000]
    """
    count = max(inferences, math.ceil(rate_per_s * seconds))
    if scenario == "fixed-rate":
        moments = np.arange(count) * 1e9 / rate_per_s
    else:
        moments = np.cumsum(np.random.default_rng(list(seed)).exponential(1e9 / rate_per_s, count))
    return np.asarray(np.rint(moments), np.int64)


def is_cut(elapsed_ns: int, schedule_ns: int, served: int, wanted: int) -> bool:
    """Whether a run by schedule is given up, overloaded, though it has samples enough."""
    return served >= wanted and elapsed_ns > _OVERRUN * schedule_ns


def is_overloaded(rate_per_s: float, busy_ns: int, served: int, unserved: int) -> bool:
    """Whether the queue grows as long as it runs: a sample keeps the engine busy for as long as it takes the next to
    arrive, or longer (a utilisation of 1 or more, queueing theory's condition), or samples were left over."""
    return unserved > 0 or rate_per_s * busy_ns / max(served, 1) / 1e9 >= 1


def batched(samples: Sequence[Feeds], specs: Sequence[TensorSpec], size: int) -> tuple[Sequence[Feeds], str]:
    """Batches of ``size`` samples and no reason, or the samples as they are and why they cannot be put together.

    Args:
        samples: the inputs of single samples.
        specs: all inputs and outputs of the model.
        size: samples in a batch.
    """
    if size == 1:
        return samples, ""
    if why := why_not_batched(specs, samples):
        return samples, f"samples run one after the other, not in batches of {size}: {why}"
    return batches(samples, size), ""


def why_not_batched(specs: Sequence[TensorSpec], samples: Sequence[Feeds]) -> str | None:
    """What keeps samples from being put together along the first axis of all tensors; None where nothing does."""
    first = set()
    for spec in specs:
        if not spec.shape or isinstance(spec.shape[0], int):
            return f"the first axis of '{spec.name}' is fixed ({spec.shape_text})"
        first.add(spec.shape[0])
    if len(first) > 1:
        return f"the first axes of its tensors are different ones ({', '.join(sorted(map(str, first)))})"
    if any(array.shape[0] != 1 for one in samples for array in one.values()):
        return "its samples are not one long in their first axis"
    if len({tuple(sorted((name, array.shape) for name, array in one.items())) for one in samples}) > 1:
        return "its samples have several shapes"
    return None


def batches(samples: Sequence[Feeds], size: int) -> list[Feeds]:
    """Batches of ``size`` in the order of the samples, which are cycled; each sample has every place in turn.

    There are as many as it takes to come round, at most 32 and at most 256 MiB of them, but always one.
    """
    bytes_each = max(1, size * sum(array.nbytes for array in samples[0].values()))
    count = len(samples) // math.gcd(len(samples), size)
    count = max(1, min(count, _MOST_BATCHES, _MOST_BATCH_BYTES // bytes_each))
    found: list[Feeds] = []
    for number in range(count):
        chosen = [samples[(number * size + place) % len(samples)] for place in range(size)]
        found.append({name: np.concatenate([one[name] for one in chosen]) for name in samples[0]})
    return found


def throughput(rates: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """The median of the runs' samples per second, and its 95 % interval over runs; None for fewer than six runs."""
    return float(np.median(rates)), interval_95(rates, 0.5)
