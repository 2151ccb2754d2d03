"""How OpenVINO is imported, and how a model of it is compiled and run: shared by running, profiling and checking."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import numpy as np

from edgewright.backends._base import Artifact
from edgewright.backends._wire import dtype_named
from edgewright.core.errors import EngineError, TargetAbsentError, UnavailableError
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
    from types import ModuleType

    import openvino

PRECISIONS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
"""Our names of what can be computed in -> OpenVINO's."""

_FOREIGN = {
    "bfloat16": "bf16",
    "float8_e4m3fn": "f8e4m3",
    "float8_e5m2": "f8e5m2",
}
"""Types numpy does not have and OpenVINO has -> its name: they pass as raw bytes."""


def import_openvino() -> ModuleType:
    """The module, imported without its telemetry: importing it reports home where the user once agreed to that.

    It falls back to a stub of its own when ``openvino_telemetry`` cannot be imported, so for that moment it cannot.

    Raises:
        ImportError, OSError: when it is not installed, or a library it needs is missing.
    """
    name = "openvino_telemetry"
    block = name not in sys.modules and "openvino" not in sys.modules
    if block:
        sys.modules[name] = None  # type: ignore[assignment] # how an import is made to fail, see importlib
    try:
        return importlib.import_module("openvino")
    finally:
        if block:
            del sys.modules[name]


def config(artifact: Artifact, threads: int) -> dict[str, object]:
    """What a device is told: one stream for latency, explicit threads, and the artifact's precision.

    Left to itself, OpenVINO computes float32 graphs in bf16 on CPUs that have it.
    """
    chosen: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": artifact.properties.get("INFERENCE_PRECISION_HINT", "f32"),
    }
    if artifact.properties.get("device", "CPU") == "CPU":
        chosen["NUM_STREAMS"] = 1
        chosen["INFERENCE_NUM_THREADS"] = threads
        chosen["ENABLE_CPU_PINNING"] = artifact.properties.get("ENABLE_CPU_PINNING", "YES") == "YES"
    return chosen


def load(artifact: Artifact, chosen: dict[str, object]) -> openvino.CompiledModel:
    """Compiles the artifact for its device.

    Raises:
        TargetAbsentError: when the device is not on this machine.
        UnavailableError: when the device does not compute in the artifact's precision.
        EngineError: when the engine refuses the artifact.
    """
    openvino = import_openvino()
    device = artifact.properties.get("device", "CPU")
    core = openvino.Core()
    here = core.available_devices
    if not any(name == device or name.startswith(f"{device}.") for name in here):
        raise TargetAbsentError(
            f"OpenVINO sees no {device} on this machine, it sees {', '.join(here) or 'nothing'}",
            "Run it on the machine it was made for, or check the driver.",
        )
    try:
        compiled = core.compile_model(core.read_model(str(artifact.path)), device, chosen)
        granted = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    except Exception as error:
        made_with = artifact.versions.get("openvino", "an unknown version")
        problem = f"openvino {openvino.__version__} refuses {artifact.entry}: {gist(error)}"
        raise EngineError(problem, f"It was made for openvino {made_with}.") from error
    wanted = chosen["INFERENCE_PRECISION_HINT"]
    if granted != wanted:
        raise UnavailableError(
            f"OpenVINO's {device} here computes in {granted} when it is asked for {wanted}", "Choose another precision."
        )
    return compiled


def run(
    request: openvino.InferRequest, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], feeds: Feeds
) -> Outputs:
    """One inference. Inputs and outputs are told apart by position: names can be cut short on their way through XML.

    Raises:
        EngineError: when the engine fails.
    """
    try:
        fed = {index: _tensor(feeds[spec.name]) for index, spec in enumerate(inputs)}
        # Not copied in: the engine reads the caller's arrays for the time of the call.
        request.infer(fed, share_inputs=True)
        return {spec.name: _array(request.get_output_tensor(index), spec) for index, spec in enumerate(outputs)}
    except Exception as error:
        raise EngineError(f"openvino failed: {gist(error)}") from error


def gist(error: BaseException) -> str:
    """What an error says, without the places in the engine's own sources."""
    noise = ("Exception from ", "Check '", "FrontEnd API failed with")
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(noise)]
    return " ".join(" ".join(told or lines).split())[:500] or type(error).__name__


def _tensor(array: Array) -> object:
    foreign = _FOREIGN.get(array.dtype.name)
    if foreign is not None:
        openvino = import_openvino()
        raw = np.ascontiguousarray(array).view(np.uint8)
        return openvino.Tensor(raw, list(array.shape), getattr(openvino.Type, foreign))
    if array.dtype.kind in "OS":
        return array.astype(str)
    return array


def _array(tensor: openvino.Tensor, spec: TensorSpec) -> Array:
    if spec.dtype == "string":
        texts: Array = np.array(tensor.str_data, dtype=object)
        return texts
    array: Array = tensor.data.copy()
    return array.view(dtype_named(spec.dtype)) if spec.dtype in _FOREIGN else array
