"""What stands out among an engine's layers: what stayed float and why, and conversions on their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from edgewright.driver.explain_layers import ExplainedLayer, stem

FLOATS = frozenset({"fp64", "fp32", "fp16", "bf16"})
EIGHT_BITS = frozenset({"int8", "fp8"})
_PLACES = re.compile(r"(?P<base>.+?)_(?:de)?quantize(?:_\w*)?", re.DOTALL)


@dataclass(frozen=True)
class Fallback:
    """A layer that computes in floating point in an engine that was compiled to 8 bits."""

    name: str
    kind: str
    precision: str
    time_us: float
    share: float
    macs: int | None
    reason: str
    """From the journal; empty where it has none."""

    def to_json(self) -> dict[str, object]:
        """By name; times in microseconds."""
        return {**vars(self), "time_us": round(self.time_us, 3), "share": round(self.share, 6)}


@dataclass(frozen=True)
class Unfused:
    """A conversion between reals and codes that the engine executes on its own."""

    name: str
    kind: str
    time_us: float
    share: float
    place: str
    """``input`` or ``output``: the model's edge, where reals come in or go out; ``inside`` otherwise."""
    between: tuple[str, str]
    """The layers executed before and after it; empty at an end."""

    def to_json(self) -> dict[str, object]:
        """By name; times in microseconds."""
        found = {**vars(self), "time_us": round(self.time_us, 3), "share": round(self.share, 6)}
        return {**found, "between": list(self.between)}


@dataclass(frozen=True)
class Written:
    """What the bundle's journal says of the model that was lowered."""

    precision: str
    """The bundle's."""
    products: Mapping[str, int] = field(default_factory=dict)
    """Name of an operator -> its multiply-accumulates for one sample."""
    floats: Mapping[str, str] = field(default_factory=dict)
    """Name of an operator that multiplies and is written in floating point -> why."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Subject and text of what passes left alone."""

    @classmethod
    def from_journal(cls, precision: str, journal: Mapping[str, object]) -> Written:
        """Reads what there is; a journal is untrusted and may lack any of it."""
        written = _mapping(_mapping(journal.get("precisions")).get("written"))
        counted = _mapping(written.get("products"))
        products = {name: count for name, count in counted.items() if isinstance(count, int) and count > 0}
        floats = [_mapping(one) for one in _list(written.get("floats"))]
        notes = [
            _mapping(note) for entry in _list(journal.get("passes")) for note in _list(_mapping(entry).get("notes"))
        ]
        return cls(
            precision,
            products,
            {str(one.get("name")): str(one.get("reason") or "") for one in floats},
            tuple((str(one.get("subject")), str(one.get("text"))) for one in notes if one.get("kind") == "skipped"),
        )

    def reason(self, layer: ExplainedLayer) -> str:
        """Why ``layer`` is not in 8 bits."""
        names = layer.operators or (layer.name,)
        for name in names:
            if (known := stem(name, self.floats)) is not None:
                return self.floats[known] or "written in floating point"
        if any(stem(name, self.products) is not None for name in names):
            return f"written in {self.precision}, the engine has no kernel for it as it stands"
        own = [text for subject, text in self.skipped if subject in names]
        kind = re.compile(rf"(?:\d+ x )?{re.escape(layer.kind)} stays? float: (.*)", re.DOTALL)
        kinds = [match[1] for _, text in self.skipped if (match := kind.fullmatch(text))]
        return next(iter([*own, *kinds]), "")


def fallbacks(layers: Sequence[ExplainedLayer], written: Written) -> tuple[Fallback, ...]:
    """The slowest first; empty for an engine that was compiled to floating point."""
    if written.precision not in EIGHT_BITS:
        return ()
    found = [
        Fallback(one.name, one.kind, one.precision, one.time_us, one.share, one.macs, written.reason(one))
        for one in layers
        if one.precision in FLOATS and not one.converts_codes and not one.lays_out
    ]
    return tuple(sorted(found, key=lambda one: -one.time_us))


def unfused(layers: Sequence[ExplainedLayer], inputs: frozenset[str], outputs: frozenset[str]) -> tuple[Unfused, ...]:
    """Conversions on their own, in the order of execution.

    Args:
        inputs: names of the model's inputs.
        outputs: names of its outputs.
    """
    found = []
    for index, one in enumerate(layers):
        if not one.converts_codes:
            continue
        before = layers[index - 1].name if index else ""
        after = layers[index + 1].name if index + 1 < len(layers) else ""
        bases = {match["base"] for name in (one.name, *one.operators) if (match := _PLACES.fullmatch(name))}
        place = "input" if bases & inputs else "output" if {*bases, one.name} & outputs else "inside"
        found.append(Unfused(one.name, one.kind, one.time_us, one.share, place, (before, after)))
    return tuple(found)


def _mapping(value: object) -> Mapping[str, object]:
    return cast("Mapping[str, object]", value) if isinstance(value, Mapping) else {}


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []
