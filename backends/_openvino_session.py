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

FOREIGN = {
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


class Engine:
    """A compiled model and one request of it.

    Raises:
        TargetAbsentError, UnavailableError, EngineError: as :func:`load`.
    """

    def __init__(self, artifact: Artifact, chosen: dict[str, object]) -> None:
        compiled = load(artifact, chosen)
        self.request: openvino.InferRequest = compiled.create_infer_request()
        self._inputs = positions([sorted(port.names) for port in compiled.inputs], artifact.inputs, "inputs")
        self._outputs = positions([sorted(port.names) for port in compiled.outputs], artifact.outputs, "outputs")

    def run(self, feeds: Feeds) -> Outputs:
        """One inference.

        Raises:
            EngineError: when the engine fails.
        """
        try:
            fed = {index: _tensor(feeds[spec.name]) for index, spec in self._inputs}
            # Not copied in: the engine reads the caller's arrays for the time of the call.
            self.request.infer(fed, share_inputs=True)
            return {spec.name: _array(self.request.get_output_tensor(index), spec) for index, spec in self._outputs}
        except Exception as error:
            raise EngineError(f"openvino failed: {gist(error)}") from error


def positions(names: list[list[str]], specs: tuple[TensorSpec, ...], kind: str) -> list[tuple[int, TensorSpec]]:
    """Which of a model's inputs (or outputs) is which of the engine's.

    Order decides where the engine has them all: a name can be cut short on its way through XML. Inputs that decide
    nothing at run time (the second of CastLike) are not there any more: then names decide, and those are not fed.

    Args:
        names: the engine's names of each of its own, in its order.

    Raises:
        EngineError: when one is of unknown origin, or an output is missing.
    """
    if len(names) == len(specs):
        return list(enumerate(specs))
    found = [(index, spec) for index, known in enumerate(names) for spec in specs if spec.name in known]
    if len(found) != len(names) or kind == "outputs":
        raise EngineError(f"openvino made {len(names)} {kind} out of the model's {len(specs)}", "Use another runtime.")
    return found


def gist(error: BaseException) -> str:
    """What an error says, without the places in the engine's own sources."""
    noise = ("Exception from ", "Check '", "FrontEnd API failed with")
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(noise)]
    return " ".join(" ".join(told or lines).split())[:500] or type(error).__name__


def _tensor(array: Array) -> object:
    foreign = FOREIGN.get(array.dtype.name)
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
    return array.view(dtype_named(spec.dtype)) if spec.dtype in FOREIGN else array
