"""What narrowing one group alone does to the time on each target: measured, and kept for a compile that is resumed."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgewright.compiler.pruning.extents import Extents, Widths
from edgewright.compiler.pruning.latency_model import LatencyModel, fit_latency, parts_of
from edgewright.compiler.pruning.resize import resized
from edgewright.compiler.site import Absent
from edgewright.compiler.torch_stage.context import Progress, StageContext
from edgewright.core import jsontext
from edgewright.core.model import OnnxModel
from edgewright.core.tensors import Array

if TYPE_CHECKING:
    from torch import nn

_WORTH_MEASURING = 0.01
"""Share of the work that halving a group must save to be measured at all; below, its time is estimated."""
_WORTH_TWO = 0.03
_MOST = 60
_MOST_EXPORTS = 12
"""Candidates that are measured at most; where each of them must be exported, which takes seconds."""
_CALL_BYTES = 256 << 20
"""Weights that one call of ``measure`` is handed at most."""
_SHARES = (0.5, 0.25)

Cut = Callable[[str, int], "nn.Module"]
"""The module with one group at one width."""


@dataclass(frozen=True)
class Entry:
    """One group at one width, the others whole."""

    group: str
    width: int
    ms: Mapping[str, float]
    """By target; a target on which it could not be timed is not among them."""


@dataclass(frozen=True)
class LatencyTable:
    """Only what was measured; all of it in milliseconds of the session in which the full model took ``full_ms``."""

    full_ms: Mapping[str, float]
    entries: tuple[Entry, ...]
    noise: float
    """Relative: by how much the full model differed from itself."""

    def barred(self, margin: float) -> dict[str, frozenset[int]]:
        """Widths that measured slower than a wider one by more than ``margin``, or not at all, on some target."""
        found: dict[str, set[int]] = {}
        limit = 1 + max(margin, self.noise)
        best: dict[tuple[str, str], float] = {}
        for entry in sorted(self.entries, key=lambda one: (one.group, -one.width)):
            for target, full in self.full_ms.items():
                key = entry.group, target
                took = entry.ms.get(target)
                if took is None or took > best.get(key, full) * limit:
                    found.setdefault(entry.group, set()).add(entry.width)
                if took is not None:
                    best[key] = min(best.get(key, full), took)
        return {name: frozenset(widths) for name, widths in found.items()}

    def at_best(self, other: LatencyTable) -> LatencyTable:
        """This one, with the times of ``other`` where they are better, brought to the scale of this session."""
        scale = {
            target: full / other.full_ms[target] for target, full in self.full_ms.items() if target in other.full_ms
        }
        known = {(one.group, one.width): one.ms for one in other.entries}
        entries = []
        for one in self.entries:
            again = known.get((one.group, one.width), {})
            scaled = {target: ms * scale[target] for target, ms in again.items() if target in scale}
            both = {target: min(ms, scaled.get(target, ms)) for target, ms in one.ms.items()}
            entries.append(Entry(one.group, one.width, {**scaled, **both}))
        return LatencyTable(self.full_ms, tuple(entries), max(self.noise, other.noise))

    def models(self, extents: Extents, margin: float) -> dict[str, LatencyModel]:
        """By target, what predicts its time."""
        noise = max(margin, self.noise) / 2
        return {
            target: fit_latency(
                extents,
                full,
                {(one.group, one.width): one.ms[target] for one in self.entries if target in one.ms},
                noise,
            )
            for target, full in self.full_ms.items()
        }

    def to_json(self) -> dict[str, object]:
        """For the record and for the folder."""
        return {
            "full_ms": dict(self.full_ms),
            "noise": self.noise,
            "entries": [{"group": one.group, "width": one.width, "ms": dict(one.ms)} for one in self.entries],
        }


def candidates(extents: Extents, widths: Mapping[str, Sequence[int]]) -> list[tuple[str, int]]:
    """(group, width) worth measuring, those that promise the most first.

    Args:
        widths: those allowed, falling, the present one first.
    """
    parts = parts_of(extents)
    total = sum(part.work for part in parts) or 1.0
    found: list[tuple[float, str, int]] = []
    for name, steps in widths.items():
        promise = sum(part.work * (1 - part.share({name: 0.5})) for part in parts) / total
        if promise < _WORTH_MEASURING or len(steps) < 2:
            continue
        shares = _SHARES if promise >= _WORTH_TWO else _SHARES[:1]
        nearest = {min(steps[1:], key=lambda width, share=share: abs(width - share * steps[0])) for share in shares}  # type: ignore[misc]
        found += [(promise, name, width) for width in nearest]
    found.sort(key=lambda item: (-item[0], item[1], -item[2]))
    return [(name, width) for _, name, width in found[:_MOST]]


def read_table(
    context: StageContext,
    template: OnnxModel,
    cut: Cut,
    wanted: Sequence[tuple[str, int]],
    margin: float,
    *,
    file: str = "latency_table.json",
) -> LatencyTable:
    """Measures ``wanted`` against the full model; takes what an earlier run of the very same question left behind.

    Args:
        template: the full module's ONNX form.
        margin: see :meth:`LatencyTable.barred`.
        file: in the stage's folder, for what is left behind.
    """
    key = _digest(context, wanted)
    path = context.folder / file
    known = _read(path, key)
    if known is not None:
        return known
    table = _measure(context, template, cut, wanted)
    if suspects := table.barred(margin):
        # One disturbance must not bar a width for good: what was slower is timed once more, and the better time counts.
        again = [one for one in wanted if one[1] in suspects.get(one[0], frozenset())]
        table = table.at_best(_measure(context, template, cut, again))
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps({"key": key, "table": table.to_json()}, sort_keys=True))
    partial.replace(path)
    return table


def costs_ms(models: Mapping[str, LatencyModel], limits_ms: Mapping[str, float], widths: Widths) -> dict[str, float]:
    """Predicted time as a share of the limit, by target."""
    return {target: models[target].predict(widths) / limit for target, limit in limits_ms.items()}


def tensors_of(module: nn.Module) -> dict[str, Array]:
    """The module's parameters and buffers as arrays that share its memory."""
    return {name: value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def _measure(context: StageContext, template: OnnxModel, cut: Cut, wanted: Sequence[tuple[str, int]]) -> LatencyTable:
    assert not isinstance(context.measure, Absent)
    before = tensors_of(context.module)
    full: dict[str, list[float]] = {}
    entries: list[Entry] = []
    exported = 0
    queue = list(wanted)
    while queue:
        batch: list[tuple[str, int, OnnxModel]] = []
        held = 0
        while queue and held < _CALL_BYTES:
            name, width = queue.pop(0)
            module = cut(name, width)
            model = resized(template, before, tensors_of(module))
            if model is None:
                exported += 1
                if exported > _MOST_EXPORTS:
                    continue
                model = context.export(module)
            batch.append((name, width, model))
            held += template.size_bytes
        context.progress(Progress(0.1 + 0.3 * (1 - len(queue) / len(wanted)), f"timing {len(batch)} widths"))
        rows = context.measure([template, *(model for _, _, model in batch), template])
        base = {target: (ms + rows[-1].get(target, ms)) / 2 for target, ms in rows[0].items()}
        for row in (rows[0], rows[-1]):
            for target, ms in row.items():
                full.setdefault(target, []).append(ms)
        # Sessions differ: what is compared across them is the ratio to the full model of the same session.
        first = {target: (full[target][0] + full[target][1]) / 2 for target in base if len(full[target]) > 1}
        entries += [
            Entry(
                name,
                width,
                {target: ms / base[target] * first[target] for target, ms in row.items() if target in first},
            )
            for (name, width, _), row in zip(batch, rows[1:-1], strict=True)
        ]
    if not wanted:
        full = {target: [ms, ms] for target, ms in context.measure([template])[0].items()}
    pairs = [(one, two) for times in full.values() for one, two in zip(times[::2], times[1::2], strict=False)]
    noise = max((abs(one - two) / min(one, two) for one, two in pairs), default=0.0)
    return LatencyTable(
        {target: (times[0] + times[1]) / 2 for target, times in full.items() if len(times) > 1}, tuple(entries), noise
    )


def _digest(context: StageContext, wanted: Sequence[tuple[str, int]]) -> str:
    shapes = {name: list(value.shape) for name, value in context.module.state_dict().items()}
    return jsontext.digest(
        {"shapes": shapes, "target": context.target.to_json(), "wanted": [list(one) for one in wanted]}
    )


def _read(path: Path, key: str) -> LatencyTable | None:
    try:
        found = json.loads(path.read_text())
        if found["key"] != key:
            return None
        table = found["table"]
        entries = tuple(Entry(one["group"], one["width"], one["ms"]) for one in table["entries"])
        return LatencyTable(table["full_ms"], entries, table["noise"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
