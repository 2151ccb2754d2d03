"""What quantising each layer gains on the target: its time in the float engine, less its time in the quantised one.

Two profiles give the figures of all layers at once. They are rough (timing a layer slows it down, and what an engine
adds between two layers is neither's), so they only order what is tried; every trial is timed as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from edgewright.backends import Artifact, Profiles
from edgewright.benchmarks.harness.timing_lock import timing_lock
from edgewright.compiler.pass_base import LayerDamage
from edgewright.core.cache import Part
from edgewright.core.errors import EngineError, UnavailableError
from edgewright.core.tensors import Feeds
from edgewright.driver.cache_steps import Clock, Steps
from edgewright.driver.explain_layers import claimed, mean_layers, timing_of, with_operators
from edgewright.driver.profiling import profile_engine

_ONNX = ".onnx"
_DISTORTED = 0.3
"""Slower than a plain run by this share, with its layers timed."""
_NEGLIGIBLE = 1e-3
"""Layers with less than this share of all damage cannot be why a limit is missed."""
_LEAST_COST = 0.02
"""A layer's cost counts as this share of the mean at least: rough figures must not make a layer look free."""


@dataclass(frozen=True)
class Gains:
    """By layer of the model, what quantising it gains."""

    shares: Mapping[str, float]
    """Layer -> time gained, as a share of the float engine's run; negative where the quantised one is slower."""

    def slower(self, least: float) -> dict[str, float]:
        """The layers that lose more than ``least`` of the float run by being quantised, the worst first."""
        found = {name: -share for name, share in self.shares.items() if share < -least}
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def gains(
    steps: Steps,
    engines: tuple[Artifact, Artifact],
    layers: Sequence[str],
    feeds: Feeds,
    *,
    threads: int,
    log: Callable[[str], None],
) -> Gains | None:
    """What quantising each of ``layers`` gains; None where an engine does not show it, or is slowed down by showing it.

    Args:
        engines: the quantised one and the float one of the same model, as they run here.
        layers: names of its operators.
    """
    parts: dict[str, Part] = {}
    if steps.store is not None:
        parts = {"engines": [one.digest for one in engines], "layers": list(layers), "threads": threads}
    with steps.found_or_owned("gains", parts, "the times of these engines' layers") as hit:
        if hit is not None:
            return Gains(cast("dict[str, float]", hit.value))
        clock = Clock()
        try:
            with timing_lock("cpu", log):
                profiles = [(one, profile_engine(one, feeds, threads)) for one in engines]
        except (UnavailableError, EngineError) as error:
            log(f"  what its layers take is not known: {error.problem}")
            return None
        timings = [timing_of(profile) for _, profile in profiles]
        if max(timing.slower_by for timing in timings) > _DISTORTED:
            return None  # so much of a layer's time is that of taking it: nothing follows from the differences
        whole = timings[1].profiled_us
        after, before = (_by_layer(profile, layers, one) for one, profile in profiles)
        shares = {name: (before[name] - after[name]) / whole for name in layers if name in before and name in after}
        steps.keep("gains", parts, shares, took_s=clock.seconds)
        return Gains(shares)


def knapsack_order(ranked: Sequence[LayerDamage], found: Gains | None) -> list[str]:
    """The layers in the order in which they are left in float: the most damage for the least time first.

    The greedy rule for a knapsack: damage per cost. Layers whose time is not known cost what layers cost on average.

    Args:
        ranked: by what quantising each alone does to the answers, the worst first.
    """
    if found is None or not found.shares:
        return [item.layer for item in ranked]
    positive = [max(share, 0.0) for share in found.shares.values()]
    mean = sum(positive) / len(positive)
    least = _LEAST_COST * mean or 1.0
    total = sum(item.error for item in ranked)

    def density(item: LayerDamage) -> float:
        return item.error / max(found.shares.get(item.layer, mean), least)

    matter = [item for item in ranked if item.error > _NEGLIGIBLE * total]
    rest = [item for item in ranked if item.error <= _NEGLIGIBLE * total]
    return [item.layer for item in (*sorted(matter, key=density, reverse=True), *rest)]


def _by_layer(profiles: Profiles, layers: Sequence[str], artifact: Artifact) -> dict[str, float]:
    """Microseconds by the model's layer; what an engine does for several at once is shared out evenly."""
    model = artifact.path if artifact.path.suffix == _ONNX else None
    shown, _ = with_operators(mean_layers(profiles), model)
    found: dict[str, float] = {}
    for layer, names in zip(shown, claimed(shown, dict.fromkeys(layers)), strict=True):
        for name in names:
            found[name] = found.get(name, 0.0) + layer.time_us / len(names)
    return found
