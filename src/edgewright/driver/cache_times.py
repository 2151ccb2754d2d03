"""Search-grade times, kept for the very same engines on this very machine: they decide, and are never shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import cast

from edgewright.benchmarks.search_grade import Arm, time_arms
from edgewright.core import jsontext
from edgewright.core.tensors import Feeds
from edgewright.driver.cache_steps import Clock, Steps


def blocks(
    steps: Steps, arms: Sequence[Arm], seconds_per_arm: float, threads: int, log: Callable[[str], None]
) -> dict[str, tuple[float, ...]]:
    """The medians of each arm's blocks in milliseconds, by its name; none for an arm that could not be timed.

    All are of one measurement; where it is an old one, that is said.

    An arm's time depends on those it takes turns with, so only the same arms in the same order are the same.

    Raises:
        EngineError: the engines could not be timed at all.
    """
    parts: dict[str, object] = {}
    if steps.store is not None:
        parts = {
            "engines": [arm.artifact.digest for arm in arms],
            "inputs": jsontext.digest([_digest(one) for one in arms[0].feeds]),
            "seconds": seconds_per_arm,
            "threads": threads,
            "of": "blocks",
        }
    with steps.found_or_owned("times", parts, "the search-grade timing of these engines") as hit:
        if hit is not None:
            log(f"  search-grade times of {len(arms)} engines: from the cache, measured on {hit.created}")
            found = cast("list[list[float]]", hit.value)
            return {arm.name: tuple(times) for arm, times in zip(arms, found, strict=True)}
        clock = Clock()
        timings = {
            one.name: one.block_medians for one in time_arms(arms, seconds_per_arm=seconds_per_arm, threads=threads)
        }
        if all(timings.values()):  # what failed once may be timed another time
            steps.keep("times", parts, [list(timings[arm.name]) for arm in arms], took_s=clock.seconds)
        return timings


def _digest(feeds: Feeds) -> list[list[str]]:
    return [
        [name, str(array.dtype), str(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
        for name, array in sorted(feeds.items())
    ]
