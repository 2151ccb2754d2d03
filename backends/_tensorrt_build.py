"""What TensorRT does to a user's ONNX file: always in a child process of its own, for it can crash there."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, cast

from edgewright.backends import _tensorrt_timing as timing
from edgewright.backends._tensorrt_flavours import AHEAD_OF_TIME, TITLES, import_flavour
from edgewright.backends._tensorrt_layers import LISTING, Layer, inspected, listed
from edgewright.backends._tensorrt_messages import failure, refusal, remarks
from edgewright.backends._wire import Json
from edgewright.core.errors import EngineError, UnavailableError

Shapes: TypeAlias = dict[str, list[list[int]]]
"""Input -> its shapes at the least, usually, and at the most."""

_REFUSED = "refused"
_SHAPE_INPUT = "its values decide the sizes of other tensors, and nothing tells TensorRT their range"


def describe(flavour: str) -> Json:
    """The version, and the compute capabilities it builds for without such a GPU."""
    trt = import_flavour(flavour)
    return {"version": str(trt.__version__), "builds_for": [list(pair) for pair in _ahead_of_time(trt)]}


def unsupported(flavour: str, path: str) -> Json:
    """Rows of ``[operator, node's name, node's place, reason]`` of what the parser refuses; [] when it takes all."""
    trt = import_flavour(flavour)
    log = _log(trt)
    network = _network(trt, trt.Builder(log))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(path):
        return cast("Json", _refusals(parser, log))
    return [["input", name, -1, _SHAPE_INPUT] for name in _shape_inputs(network)]


def build(
    *,
    flavour: str,
    path: str,
    engine: str,
    capability: list[int],
    workspace: int | None,
    shapes: Shapes,
    cache: str | None,
) -> Json:
    """Builds ``engine`` from the typed ONNX file.

    Args:
        capability: of the GPU it is for; a flavour that builds for the GPU here is not told.
        workspace: bytes that a kernel may use for intermediate results.
        shapes: the profile, for every input with open dimensions.
        cache: the file with the times of kernels, where the flavour times them.

    Returns:
        ``{"remarks", "layers"}``, or ``{"refused"}`` with rows as :func:`unsupported` gives them.

    Raises:
        UnavailableError: when the builder cannot take the model.
    """
    trt = import_flavour(flavour)
    log = _log(trt)
    builder = trt.Builder(log)
    network = _network(trt, builder)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(path):
        return {_REFUSED: cast("Json", _refusals(parser, log))}
    config = builder.create_builder_config()
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # descriptions only: no kernel becomes slower by it
    if workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    if flavour in AHEAD_OF_TIME:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(getattr(trt.ComputeCapability, _name_of(capability)), 0):
            raise UnavailableError(f"{TITLES[flavour]} {trt.__version__} does not build for {_name_of(capability)}")
    _add_profile(builder, network, config, shapes)
    times = None if cache is None else timing.attach(config, Path(cache))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        title = f"{TITLES[flavour]} {trt.__version__}"
        raise UnavailableError(
            f"{title} takes every operator of the model by itself, and cannot build it: {failure(log.lines)}",
            "Leave the part it names to another runtime, or export the model in another way.",
        )
    Path(engine).write_bytes(plan)
    if cache is not None and times is not None:
        timing.keep(times, Path(cache))
    layers = listed(log.listings) or _inspect(trt, log, plan)
    return {"remarks": cast("Json", remarks(log.lines)), "layers": cast("Json", [layer.to_json() for layer in layers])}


def validity(flavour: str, engine: str) -> Json:
    """What the flavour's runtime holds against an engine, from its header alone: names of causes; [] is good.

    A flavour without such a check holds nothing against any.
    """
    trt = import_flavour(flavour)
    runtime = trt.Runtime(_log(trt))
    if not hasattr(runtime, "get_engine_validity"):
        return []
    with Path(engine).open("rb") as file:
        header = file.read(int(runtime.engine_header_size))
    verdict, causes = runtime.get_engine_validity(header)
    if verdict != trt.EngineValidity.INVALID:
        return []
    known = trt.EngineInvalidityDiagnostics.__members__
    return [name for name, flag in known.items() if int(causes) & int(flag.value)] or ["CUDA_ERROR"]


def refused(answer: Json) -> list[list[Json]]:
    """The rows of an answer of :func:`build` that says the parser refused; [] when it built."""
    assert isinstance(answer, dict)
    return cast("list[list[Json]]", answer.get(_REFUSED, []))


def _log(trt: ModuleType) -> Any:
    """A logger that keeps warnings and errors, and the listing of layers; only one can be had per process."""

    class Log(trt.ILogger):  # type: ignore[misc, name-defined] # the base is known at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []
            self.listings: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity.name not in ("VERBOSE", "INFO"):
                self.lines.append((severity.name, message))
            elif message.startswith(LISTING):
                self.listings.append(message)

    return Log()


def _network(trt: ModuleType, builder: Any) -> Any:
    """Strongly typed: a flag in TensorRT 10, what every network is from 11 on."""
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return builder.create_network(0 if flag is None else 1 << int(getattr(flag, "value", flag)))


def _refusals(parser: Any, log: Any) -> list[list[Json]]:
    rows: list[list[Json]] = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        name = str(error.node_name())
        rows.append([str(error.node_operator()), name, error.node(), refusal(str(error.desc()), name)])
    return rows or [["model", "", -1, failure(log.lines)]]


def _add_profile(builder: Any, network: Any, config: Any, shapes: Shapes) -> None:
    for name in _shape_inputs(network):
        raise UnavailableError(
            f"input '{name}': {_SHAPE_INPUT}", "Make it a constant of the model, or a size of another input."
        )
    profile = builder.create_optimization_profile()
    wanted = False
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 in tuple(tensor.shape):
            wanted = True
            # The parser puts "__" before the name of an input that is an output too.
            known = shapes.get(tensor.name) or shapes[tensor.name.removeprefix("__")]
            profile.set_shape(tensor.name, *(tuple(shape) for shape in known))
    if wanted and config.add_optimization_profile(profile) < 0:
        raise EngineError("TensorRT refuses the range of sizes", "Give one that holds for all inputs with --shape.")


def _shape_inputs(network: Any) -> list[str]:
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    return [str(tensor.name) for tensor in tensors if tensor.is_shape_tensor]


def _inspect(trt: ModuleType, log: Any, plan: Any) -> list[Layer]:
    """The layers of an engine for the GPU in this machine; [] where there is none."""
    try:
        runtime = trt.Runtime(log)  # the engine must not outlive it
        found = runtime.deserialize_cuda_engine(plan)
        text = found.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
        return inspected(str(text))
    except Exception:  # noqa: BLE001 - what is not known is called unknown; the engine itself is good
        return []


def _ahead_of_time(trt: ModuleType) -> list[tuple[int, int]]:
    members: Mapping[str, object] = getattr(getattr(trt, "ComputeCapability", None), "__members__", {})
    digits = [name.removeprefix("SM") for name in members if name.startswith("SM") and name[2:].isdigit()]
    return sorted((int(text[:-1]), int(text[-1])) for text in digits)


def _name_of(capability: list[int]) -> str:
    return f"SM{capability[0]}{capability[1]}"
