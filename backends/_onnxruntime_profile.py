"""Layer times from ONNX Runtime's own profiler: a JSON file of events that it writes when a session ends profiling.

Its times are whole microseconds, cut off.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.backends import _onnxruntime_cuda as cuda
from edgewright.backends import _onnxruntime_session as session
from edgewright.backends._base import Artifact, LayerTime
from edgewright.backends._profiles import ProfiledRun, product_macs, told_apart, wall_times
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Feeds

_RUNS = 3
"""The last is reported: the first allocates, and packs what it has not packed while loading."""

_FACTORS = 2
_ON_CPU = " (CPU)"

_PRECISIONS = {
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "double": "fp64",
    "uint8": "int8",
    "int8": "int8",
}
_COUNT_IN_CODES = ("DynamicQuantize", "QLinear", "QGemm", "QAttention")
"""How kinds begin that take reals and compute in 8 bits by themselves."""
_WITH_BODIES = frozenset({"If", "Loop", "Scan"})
_PACKED = frozenset({"Conv", "ConvInteger", "ConvTranspose", "FusedConv", "NhwcFusedConv", "QLinearConv"})
_PACKED |= {"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "QGemm", "QLinearMatMul", "MatMulInteger", "Attention"}
_PACKED |= {"MatMulIntegerToFloat", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM", "QAttention", "LSTM", "GRU"}
"""Kinds whose kernels lay weights out anew while loading: those are not among what the profiler then sees."""


def layer_times(artifact: Artifact, threads: int, feeds: Feeds) -> list[LayerTime]:
    """Times of the nodes of the optimised graph in one inference, in execution order, in a session of its own.

    On CUDA these are the kernels' own times, where the engine was built to see them; operators that it left to the CPU
    have ``(CPU)`` behind their kind.

    Raises:
        UnavailableError: on CUDA, when the engine sees only how long it took to start the kernels.
        EngineError: when the engine refuses the artifact or fails.
    """
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        chosen = session.options(artifact, threads)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = str(Path(folder) / "profile")
        engine = session.Engine(artifact, chosen)
        for _ in range(_RUNS):
            engine.run(feeds)
        events = json.loads(Path(engine.loaded.end_profiling()).read_text())
    return _cuda_layers(events) if cuda.is_for(artifact) else _last_run(events)


def profiled_runs(artifact: Artifact, threads: int, feeds: Feeds, runs: int) -> tuple[ProfiledRun, ...]:
    """Nodes of the optimised graph in ``runs`` inferences, each beside its wall time, in a session of its own.

    Raises:
        UnavailableError: on CUDA, whose kernels run on beside the calls that the profiler sees.
        EngineError: when the engine refuses the artifact or fails.
    """
    if cuda.is_for(artifact):
        raise UnavailableError("onnxruntime does not show how CUDA spends an inference", "Use NVIDIA's nsys.")
    with tempfile.TemporaryDirectory(prefix="edgewright-") as folder:
        chosen = session.options(artifact, threads)
        chosen.enable_profiling = True
        chosen.profile_file_prefix = str(Path(folder) / "profile")
        engine = session.Engine(artifact, chosen)
        walls = wall_times(lambda: engine.run(feeds), runs, settle=_RUNS - 1)
        events = json.loads(Path(engine.loaded.end_profiling()).read_text())
    found = _runs(events)[-runs:]
    return tuple(ProfiledRun(wall, told_apart(_own_times(events))) for wall, events in zip(walls, found, strict=True))


def _runs(events: list[dict[str, object]]) -> list[list[dict[str, object]]]:
    """The events of nodes, run by run."""
    found: list[list[dict[str, object]]] = []
    nodes: list[dict[str, object]] = []
    for event in events:
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            found.append(nodes)
            nodes = []
        elif event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time"):
            nodes.append(event)
    return found


def _own_times(events: Sequence[dict[str, object]]) -> list[LayerTime]:
    """The layers of one run; the time of a node with a body is what is left when its body's nodes are taken off."""
    found: list[LayerTime] = []
    begun: list[float] = []
    for event in events:
        layer, start = _sized(event), float(cast("float", event.get("ts", 0)))
        if layer.kind in _WITH_BODIES:
            # What ran inside ended before, so it stands before; what of that has a body is without it already.
            inside = sum(one.time_us for one, at in zip(found, begun, strict=True) if at >= start)
            layer = replace(layer, time_us=max(0.0, layer.time_us - inside))
        found.append(layer)
        begun.append(start)
    return found


def _sized(event: dict[str, object]) -> LayerTime:
    """With bytes; those of weights are unknown where the kernel has packed them away."""
    layer, details = _layer(event), cast("dict[str, object]", event["args"])
    inputs = cast("list[dict[str, list[int]]]", details.get("input_type_shape") or [])
    packed = layer.kind in _PACKED and sum(len(shape) > 1 for one in inputs for shape in one.values()) < 2
    read, written, weights = (_bytes(details, key) for key in ("activation_size", "output_size", "parameter_size"))
    macs = _macs(layer.kind, inputs, cast("list[dict[str, list[int]]]", details.get("output_type_shape") or []))
    weights = None if packed else weights
    return replace(layer, read_bytes=read, written_bytes=written, weight_bytes=weights, macs=macs)


def _macs(kind: str, inputs: list[dict[str, list[int]]], outputs: list[dict[str, list[int]]]) -> int | None:
    """Of a product whose factors are both shown, as two computed ones are."""
    factors = [shape for one in inputs for shape in one.values() if len(shape) > 1]
    results = [shape for one in outputs for shape in one.values()]
    if "MatMul" not in kind or len(factors) != _FACTORS or len(results) != 1:
        return None
    return product_macs(*factors, *results)


def _bytes(details: dict[str, object], key: str) -> int | None:
    text = str(details.get(key, ""))
    return int(text) if text.isdigit() else None


def _cuda_layers(events: list[dict[str, object]]) -> list[LayerTime]:
    """A node's own time on CUDA is that of starting its kernels; the kernels come after it, where they are seen."""
    layers: list[LayerTime] = []
    last: list[LayerTime] = []
    for event in events:
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            last, layers = layers, []
        elif event.get("cat") == "Kernel" and layers and not layers[-1].kind.endswith(_ON_CPU):
            layers[-1] = replace(layers[-1], time_us=layers[-1].time_us + float(cast("float", event["dur"])))
        elif event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time"):
            layer = _layer(event)
            details = cast("dict[str, object]", event["args"])
            on_cpu = details.get("provider") != cuda.PROVIDER
            layers.append(replace(layer, kind=layer.kind + _ON_CPU) if on_cpu else replace(layer, time_us=0.0))
    if not any(layer.time_us for layer in last if not layer.kind.endswith(_ON_CPU)):
        left = [f"{layer.kind} '{layer.name}'" for layer in last if layer.kind.endswith(_ON_CPU)]
        placed = f"; of {len(last)} operators the CPU ran {len(left)}: {', '.join(left[:5])}" if left else ""
        raise UnavailableError(
            f"this onnxruntime sees only when it starts a CUDA kernel, not how long the kernel takes{placed}",
            "Use NVIDIA's own profiler (nsys) for times of layers.",
        )
    return last


def _last_run(events: list[dict[str, object]]) -> list[LayerTime]:
    """A run is closed by its ``model_run`` event, which comes after those of its nodes."""
    runs = _runs(events)
    return [_layer(event) for event in runs[-1]] if runs else []


def _layer(event: dict[str, object]) -> LayerTime:
    details = cast("dict[str, object]", event["args"])
    kind = str(details.get("op_name", ""))
    types = cast("list[dict[str, object]]", details.get("input_type_shape") or details.get("output_type_shape") or [])
    first = next(iter(types[0]), "") if types else ""
    name = str(event["name"]).removesuffix("_kernel_time")
    precision = "int8" if kind.startswith(_COUNT_IN_CODES) else _PRECISIONS.get(first, first)
    return LayerTime(name, kind, precision, float(cast("float", event["dur"])))
