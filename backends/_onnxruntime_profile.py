"""Layer times from ONNX Runtime's own profiler: a JSON file of events that it writes when a session ends profiling."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import cast

from edgewright.backends import _onnxruntime_session as session
from edgewright.backends._base import Artifact, LayerTime
from edgewright.core.tensors import Feeds

_RUNS = 3
"""The last is reported: the first allocates, and packs what it has not packed while loading."""

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

    Raises:
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
    return _last_run(events)


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
