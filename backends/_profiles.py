"""Several inferences with their layers timed, beside as many without: what explaining an engine's time is made from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

from edgewright.backends._base import LayerTime
from edgewright.backends._wire import Json


@dataclass(frozen=True)
class ProfiledRun:
    """Layers of one inference in execution order; or their means over a few, where the engine only keeps means."""

    wall_us: float
    """From the call to its answer, with the layers being timed."""
    layers: tuple[LayerTime, ...]


@dataclass(frozen=True)
class Profiles:
    """What one process saw: the same inference, profiled and not."""

    plain_us: tuple[float, ...]
    """Wall times of inferences whose layers are not timed, from before and after the profiled ones."""
    runs: tuple[ProfiledRun, ...]

    def to_json(self) -> dict[str, Json]:
        """How it crosses from a child process."""
        runs = [{"wall_us": run.wall_us, "layers": [asdict(layer) for layer in run.layers]} for run in self.runs]
        return {"plain_us": list(self.plain_us), "runs": cast("Json", runs)}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> Profiles:
        """Reads what :meth:`to_json` wrote."""
        runs = cast("list[dict[str, Json]]", data["runs"])
        found = (ProfiledRun(cast("float", run["wall_us"]), tuple(_layers(run["layers"]))) for run in runs)
        return cls(tuple(cast("list[float]", data["plain_us"])), tuple(found))


def wall_times(run: Callable[[], object], runs: int, settle: int = 1) -> tuple[float, ...]:
    """Microseconds of each of ``runs`` calls, after ``settle`` that are not counted."""
    for _ in range(settle):
        run()
    found = []
    for _ in range(runs):
        start = time.perf_counter_ns()
        run()
        found.append((time.perf_counter_ns() - start) / 1e3)
    return tuple(found)


def product_macs(first: Sequence[int], second: Sequence[int], result: Sequence[int]) -> int | None:
    """Multiply-accumulates of a matrix product by its sizes, whichever factors are transposed; None where unclear.

    With factors of ``B*M*K`` and ``B*K*N`` elements and a result of ``B*M*N``, their quotient is ``B*K*K``; a factor
    without a batch leaves the ``B`` out.

    >>> product_macs((2, 3, 5), (2, 5, 7), (2, 3, 7)), product_macs((2, 3, 5), (5, 7), (2, 3, 7))
    (210, 210)
    """
    made = math.prod(result)
    batch = math.prod(result[:-2])
    if len(result) < 2 or not made or math.prod(first[:-2]) != batch or math.prod(second[:-2]) not in (1, batch):
        return None
    both = batch if math.prod(second[:-2]) == batch else 1
    square, left = divmod(math.prod(first) * math.prod(second), made * both)
    inner = math.isqrt(square)
    return None if left or inner * inner != square else made * inner


def told_apart(layers: Sequence[LayerTime]) -> tuple[LayerTime, ...]:
    """``layers`` with those of one name and kind added up: the body of a loop shows up once for each round."""
    found: dict[tuple[str, str], LayerTime] = {}
    for layer in layers:
        known = found.get((layer.name, layer.kind))
        found[layer.name, layer.kind] = layer if known is None else _sum(known, layer)
    return tuple(found.values())


def _sum(one: LayerTime, two: LayerTime) -> LayerTime:
    return replace(
        one,
        time_us=one.time_us + two.time_us,
        read_bytes=_added(one.read_bytes, two.read_bytes),
        written_bytes=_added(one.written_bytes, two.written_bytes),
        weight_bytes=_added(one.weight_bytes, two.weight_bytes),
        macs=_added(one.macs, two.macs),
    )


def _added(one: int | None, two: int | None) -> int | None:
    return None if one is None or two is None else one + two


def _layers(rows: Json) -> list[LayerTime]:
    fields = cast("list[dict[str, Json]]", rows)
    return [LayerTime(**{**one, "operators": tuple(cast("list[str]", one["operators"]))}) for one in fields]  # type: ignore[arg-type]
