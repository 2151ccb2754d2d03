"""The layers that an engine executes, each with what is behind it, what it took, and what this machine could do."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgewright.backends import LayerTime, ProfiledRun, Profiles
from edgewright.benchmarks.ceilings import Ceilings

_SUFFIX = re.compile(r"/.*|_token_\d+|_nchwc|_quant", re.DOTALL)
"""What runtimes put behind the name of the operator that they made a layer of."""
_BEHIND = re.compile(r"(?:_token_\d+|_nchwc|_quant)\Z")
_CONVERTS_CODES = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "FakeQuantize"})
_CODE_NAMES = re.compile(r".*(?:Quantize(?:Linear)?|_quantize|_dequantize)(?:[_/]\w*)?", re.DOTALL | re.IGNORECASE)
_LAYS_OUT = frozenset({"Reorder", "ReorderInput", "ReorderOutput", "Transpose", "Permute", "Cast", "Convert"})
NO_ONNX = "needs the onnx package"


@dataclass(frozen=True)
class ExplainedLayer:
    """One layer of the engine's own graph. Names are untrusted text."""

    name: str
    kind: str
    """The engine's word for it."""
    operators: tuple[str, ...]
    """Names of the model's operators behind it; none where the engine added it."""
    precision: str
    """What the engine computed it in."""
    time_us: float
    """Mean over the fastest third of the profiles."""
    share: float
    """Of the profiled run."""
    macs: int | None
    """Multiply-accumulates; 0 where it has none, None where they could not be counted."""
    read_bytes: int | None
    written_bytes: int | None
    weight_bytes: int | None
    roofline: float | None
    """Of the speed that this machine showed for so many products and bytes; above 1 where a kernel beats the probe."""
    why: str = ""
    """Why a figure is missing."""

    @property
    def moved_bytes(self) -> int | None:
        """All bytes that are read and written, weights too."""
        parts = (self.read_bytes, self.written_bytes, self.weight_bytes)
        return None if any(part is None for part in parts) else sum(part for part in parts if part is not None)

    @property
    def converts_codes(self) -> bool:
        """Whether all it does is to turn reals into codes or back."""
        if self.kind in _CONVERTS_CODES:
            return True
        return bool(self.operators) and all(_CODE_NAMES.fullmatch(name) for name in self.operators) and not self.macs

    @property
    def lays_out(self) -> bool:
        """Whether it only moves values, or converts their type."""
        return self.kind in _LAYS_OUT

    def to_json(self) -> dict[str, object]:
        """The layer in ``--json``; times in microseconds."""
        return {
            "name": self.name,
            "kind": self.kind,
            "operators": list(self.operators),
            "precision": self.precision,
            "time_us": round(self.time_us, 3),
            "share": round(self.share, 6),
            "macs": self.macs,
            "read_bytes": self.read_bytes,
            "written_bytes": self.written_bytes,
            "weight_bytes": self.weight_bytes,
            "roofline": None if self.roofline is None else round(self.roofline, 6),
            "why": self.why,
        }


@dataclass(frozen=True)
class Timing:
    """Where a run's time goes, in microseconds; means over the fastest third of the runs."""

    plain_us: float
    """A run whose layers are not timed."""
    profiled_us: float
    layers_us: float
    overhead_us: float
    """Of a profiled run, what is in no layer: the engine between them, and the profiler."""
    runs: int

    @property
    def slower_by(self) -> float:
        """What timing the layers costs, as a share of the plain run."""
        return self.profiled_us / self.plain_us - 1

    @property
    def accounted(self) -> float:
        """Layers and overhead as a share of the profiled run."""
        return (self.layers_us + self.overhead_us) / self.profiled_us

    def to_json(self) -> dict[str, object]:
        """With what follows from the figures."""
        figures = {name: round(value, 3) for name, value in vars(self).items() if name != "runs"}
        shares = {"slower_by": round(self.slower_by, 4), "accounted": round(self.accounted, 4)}
        return {**figures, "runs": self.runs, **shares}


def timing_of(profiles: Profiles) -> Timing:
    """Where a run's time goes; the overhead is what each run takes beyond its own layers."""
    runs = _quiet(profiles)
    plain = sorted(profiles.plain_us)
    return Timing(
        plain_us=statistics.fmean(plain[: _third(len(plain))]),
        profiled_us=statistics.fmean(run.wall_us for run in runs),
        layers_us=sum(layer.time_us for layer in mean_layers(profiles)),
        overhead_us=statistics.fmean(run.wall_us - sum(layer.time_us for layer in run.layers) for run in runs),
        runs=len(profiles.runs),
    )


def _quiet(profiles: Profiles) -> list[ProfiledRun]:
    """The fastest third of the runs, two at least.

    What else is running hits a few layers of a run, other ones each time. Medians of layers over all runs would be
    without it, and the median of runs with it: they would not add up.
    """
    return sorted(profiles.runs, key=lambda run: run.wall_us)[: _third(len(profiles.runs))]


def _third(number: int) -> int:
    return min(number, max(2, -(-number // 3)))


def mean_layers(profiles: Profiles) -> list[LayerTime]:
    """The layers of the fastest profile, each with its mean time over the quiet ones that have it.

    An engine that is opened anew may number what it adds anew.
    """
    runs = _quiet(profiles)
    times: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        for layer in run.layers:
            times.setdefault((layer.name, layer.kind), []).append(layer.time_us)
    return [replace(layer, time_us=statistics.fmean(times[layer.name, layer.kind])) for layer in runs[0].layers]


def explained(
    profiles: Profiles, products: Mapping[str, int], batch: int, model: Path | None, ceilings: Ceilings
) -> tuple[tuple[ExplainedLayer, ...], tuple[str, ...]]:
    """The layers in the order of execution, and what could not be found out about them.

    Args:
        products: name of an operator -> its multiply-accumulates for one sample.
        batch: samples in the inference that was profiled.
        model: the ONNX file that the engine was given, where it was one.
    """
    layers, notes = with_operators(mean_layers(profiles), model)
    profiled_us = timing_of(profiles).profiled_us
    found = []
    for layer, counted in zip(layers, claimed(layers, products), strict=True):
        macs = sum(products[name] for name in counted) * batch or layer.macs or 0
        found.append(_explained(layer, None if _uncounted(layer, macs) else macs, profiled_us, ceilings))
    return tuple(found), notes


def _explained(layer: LayerTime, macs: int | None, profiled_us: float, ceilings: Ceilings) -> ExplainedLayer:
    parts = (layer.read_bytes, layer.written_bytes, layer.weight_bytes)
    moved = sum(part or 0 for part in parts)
    least = None if macs is None else ceilings.least_us(layer.precision, macs, moved)
    why = [] if macs is not None else ["its multiplications could not be counted"]
    if layer.weight_bytes is None:
        why.append(f"bytes of its weights: {NO_ONNX}")
    elif None in parts:
        why.append("bytes: its sizes are open")
    if macs and layer.precision not in ceilings.macs_per_s:
        why.append(f"no ceiling was measured for {layer.precision}")
    if layer.time_us <= 0:
        why.append("under a microsecond")
    known = least is not None and layer.time_us > 0 and (macs or None not in parts)
    return ExplainedLayer(
        name=layer.name,
        kind=layer.kind,
        operators=layer.operators,
        precision=layer.precision,
        time_us=layer.time_us,
        share=layer.time_us / profiled_us,
        macs=macs,
        read_bytes=layer.read_bytes,
        written_bytes=layer.written_bytes,
        weight_bytes=layer.weight_bytes,
        roofline=least / layer.time_us if known and least is not None else None,
        why="; ".join(why),
    )


_MULTIPLIES = re.compile(r".*(?:Conv|MatMul|Gemm|FullyConnected|Attention|LSTM|GRU|RNN|Einsum|SDPA)", re.IGNORECASE)


def _uncounted(layer: LayerTime, macs: int) -> bool:
    """Whether ``layer`` is of a kind that multiplies though nothing was counted for it."""
    return not macs and _MULTIPLIES.match(layer.kind) is not None and layer.kind not in ("Convert", "ConvertLike")


def claimed(layers: Sequence[LayerTime], known: Mapping[str, object]) -> list[list[str]]:
    """Which of the ``known`` operators are behind each layer: each is one layer's, of a kind that multiplies first.

    An engine may execute a sum that goes with a product by itself, under the product's name.
    """
    names = [[stem(name, known) for name in one.operators or (one.name,)] for one in layers]
    multiplies = [_MULTIPLIES.match(one.kind) is not None for one in layers]
    taken: set[str] = set()
    found: list[list[str]] = [[] for _ in layers]
    for index in sorted(range(len(layers)), key=lambda at: not multiplies[at]):
        for name in names[index]:
            if name is not None and name not in taken:
                taken.add(name)
                found[index].append(name)
    return found


def stem(name: str, known: Mapping[str, object] | frozenset[str]) -> str | None:
    """Which of the ``known`` operators an engine's ``name`` stands for."""
    if name in known:
        return name
    fitting = [one for one in known if name.startswith(one) and _SUFFIX.fullmatch(name[len(one) :])]
    return max(fitting, key=len) if fitting else None


def with_operators(layers: Sequence[LayerTime], model: Path | None) -> tuple[list[LayerTime], tuple[str, ...]]:
    """With what is behind each layer and what its packed weights weigh, read from the model where the engine is one."""
    if model is None:
        return list(layers), ()
    try:
        from edgewright.compiler.engine_graph import operators_behind
    except ModuleNotFoundError as error:
        bare = [replace(one, operators=(_BEHIND.sub("", one.name),)) for one in layers]
        note = f"only one operator behind each layer is shown, and not what its weights weigh: {error.name} is not here"
        return bare, (f'{note}; type: pip install "edgewright[compile]"',)
    behind = operators_behind(model, [(one.name, one.kind) for one in layers])
    return [
        replace(
            layer,
            operators=found.operators,
            weight_bytes=found.constant_bytes if layer.weight_bytes is None else layer.weight_bytes,
        )
        for layer, found in zip(layers, behind, strict=True)
    ], ()
