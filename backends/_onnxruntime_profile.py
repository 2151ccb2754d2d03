"""Layer times from ONNX Runtime's own profiler: a JSON file of events that it writes when a session ends profiling."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import cast

from edgewright.backends import _onnxruntime_cuda as cuda
from edgewright.backends import _onnxruntime_session as session
from edgewright.backends._base import Artifact, LayerTime
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Feeds

_RUNS = 3
"""The last is reported: the first allocates, and packs what it has not packed while loading."""

_ON_CPU = " (CPU)"

_PRECISIONS = {
    "float": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "double": "fp64",
    "uint8": "int8",
    "int8": "int8",
}


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
    layers: list[LayerTime] = []
    last: list[LayerTime] = []
    for event in events:
        if event.get("cat") == "Session" and event.get("name") == "model_run":
            last, layers = layers, []
        elif event.get("cat") == "Node" and str(event["name"]).endswith("_kernel_time"):
            layers.append(_layer(event))
    return last


def _layer(event: dict[str, object]) -> LayerTime:
    details = cast("dict[str, object]", event["args"])
    kind = str(details.get("op_name", ""))
    types = cast("list[dict[str, object]]", details.get("input_type_shape") or details.get("output_type_shape") or [])
    first = next(iter(types[0]), "") if types else ""
    name = str(event["name"]).removesuffix("_kernel_time")
    return LayerTime(name, kind, _PRECISIONS.get(first, first), float(cast("float", event["dur"])))
