"""What the open sizes of a model's inputs may be: what the user says, else what the data shows."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from edgewright.core.data import DataSet
from edgewright.core.errors import BadInputError
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Dim, SizeRange, TensorSpec
from edgewright.driver.sets import DataSets

if TYPE_CHECKING:
    from edgewright.compiler.intake.shapes import Bound

LOOKED_AT = 512
"""So many samples of each set are looked at."""


def size_ranges(
    model: OnnxModel, bounds: Mapping[str, tuple[Bound, ...]], sets: DataSets | None
) -> tuple[dict[str, tuple[SizeRange, ...]], list[str]]:
    """The range of every dimension of each input that has open ones, and a line for each range taken from data.

    A size that is one symbol for several inputs has one range in all of them: what ``--shape`` said of any holds.

    Args:
        model: whose inputs they are.
        bounds: what ``--shape`` said.
        sets: the data, if there is any; all of it, because only shapes are read from it.

    Raises:
        BadInputError: a sample of the data is outside what ``--shape`` said.
    """
    wanted = [spec for spec in model.inputs if spec.shape is not None and not spec.is_static]
    if not wanted:
        return {}, []
    seen = _seen(wanted, sets)
    found = {
        spec.name: _of_bounds(bounds[spec.name], seen.get(spec.name, [])) for spec in wanted if spec.name in bounds
    }
    symbols = _symbols(wanted, found)
    notes: list[str] = []
    for spec in wanted:
        if spec.name in found:
            continue
        told = [_told(dim, symbols) for dim in spec.shape or ()]
        shown = _of_data(seen[spec.name]) if seen.get(spec.name) else told
        ranges = tuple(size for size in (one or other for one, other in zip(told, shown, strict=True)) if size)
        if len(ranges) != len(told):
            continue
        found[spec.name] = ranges
        if None in told:
            seen_text = f"sizes of {spec.name} as the data shows them: {_shown(ranges)}"
            notes.append(f"{seen_text} (--shape {spec.name}=... says otherwise)")
    for name, shapes in seen.items():
        _require_within(name, found.get(name, ()), shapes)
    return found, notes


def usual_inputs(model: OnnxModel) -> tuple[TensorSpec, ...]:
    """The model's inputs with the sizes that are usual in place of the open ones whose range is known."""
    return tuple(
        replace(spec, shape=tuple(size.usual for size in model.sizes[spec.name])) if spec.name in model.sizes else spec
        for spec in model.inputs
    )


def _require_within(name: str, ranges: tuple[SizeRange, ...], shapes: list[tuple[int, ...]]) -> None:
    for shape in dict.fromkeys(shapes):
        if not all(size.low <= one <= size.high for one, size in zip(shape, ranges, strict=False)):
            raise BadInputError(
                f"a sample of input '{name}' has shape {','.join(map(str, shape))}, --shape allows {_shown(ranges)}",
                "Widen the range, or give data as it will be fed.",
            )


def _shown(ranges: tuple[SizeRange, ...]) -> str:
    """As ``--shape`` has them: ``1..8,3,224``."""
    return ",".join(str(size.low) if size.low == size.high else f"{size.low}..{size.high}" for size in ranges)


def _symbols(specs: list[TensorSpec], found: Mapping[str, tuple[SizeRange, ...]]) -> dict[str, SizeRange]:
    """The ranges of the sizes that have names."""
    named = (zip(spec.shape or (), found[spec.name], strict=True) for spec in specs if spec.name in found)
    return {dim: size for pairs in named for dim, size in pairs if isinstance(dim, str)}


def _told(dim: Dim, symbols: Mapping[str, SizeRange]) -> SizeRange | None:
    """The range of a size that is fixed, or known by its symbol."""
    if isinstance(dim, int):
        return SizeRange(dim, dim, dim)
    return None if dim is None else symbols.get(dim)


def _seen(specs: list[TensorSpec], sets: DataSets | None) -> dict[str, list[tuple[int, ...]]]:
    if sets is None:
        return {}
    shapes: dict[str, list[tuple[int, ...]]] = {spec.name: [] for spec in specs}
    for data in (sets.calibrate, sets.select, sets.prove):
        _look(data, shapes)
    return shapes


def _look(data: DataSet, shapes: dict[str, list[tuple[int, ...]]]) -> None:
    for feeds in itertools.islice(iter(data), LOOKED_AT):
        for name, found in shapes.items():
            found.append(feeds[name].shape)


def _of_data(shapes: list[tuple[int, ...]]) -> tuple[SizeRange, ...]:
    return tuple(SizeRange(min(sizes), statistics.median_low(sizes), max(sizes)) for sizes in zip(*shapes, strict=True))


def _of_bounds(bounds: tuple[Bound, ...], shapes: list[tuple[int, ...]]) -> tuple[SizeRange, ...]:
    """The user's ranges; the usual size is the data's, else the largest: an engine is slowest there."""
    columns = list(zip(*shapes, strict=True)) if shapes else [() for _ in bounds]
    return tuple(
        SizeRange(
            bound.low,
            min(max(statistics.median_low(sizes), bound.low), bound.high) if sizes else bound.high,
            bound.high,
        )
        for bound, sizes in zip(bounds, columns, strict=True)
    )
