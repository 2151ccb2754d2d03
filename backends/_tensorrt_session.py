"""A loaded engine: its execution context, a stream, and one growing piece of device memory for each tensor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgewright.backends._base import Artifact, LayerTime, Session
from edgewright.backends._cuda_buffers import Buffer, Cuda
from edgewright.backends._tensorrt_flavours import TITLES, import_flavour
from edgewright.backends._tensorrt_graph import IO_TYPES
from edgewright.backends._tensorrt_layers import computed_in, inspected
from edgewright.backends._tensorrt_messages import failure
from edgewright.backends._wire import dtype_named
from edgewright.core.errors import BadInputError, EngineError, UnavailableError
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

_PROFILED_RUNS = 3
"""The last is reported: the first loads and, with TensorRT-RTX, compiles kernels."""


class EngineSession(Session):
    """An engine on the first GPU; ``device_ns`` is the time of its kernels between two CUDA events.

    Args:
        artifact: fit for this machine, see :mod:`edgewright.backends._tensorrt_fit`.
        cuda: device memory; the first GPU's own where it is not given.

    Raises:
        TargetAbsentError: when there is no GPU.
        EngineError: when the engine refuses the artifact.
    """

    def __init__(self, artifact: Artifact, cuda: Cuda | None = None) -> None:
        self.inputs, self.outputs = artifact.inputs, artifact.outputs
        self._flavour = artifact.properties["flavour"]
        self._trt = import_flavour(self._flavour)
        self._log = _log(self._trt)
        self._cuda: Cuda | None = Cuda() if cuda is None else cuda
        self._buffers: dict[str, Buffer] = {}
        try:
            self._runtime = self._trt.Runtime(self._log)  # the engine must not outlive it
            self._engine = self._loaded(artifact.path)
            self._context = self._new_context()
            self._check_tensors()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Lets go of the context before the engine, and of the memory after both."""
        self._context = None
        self._engine = None
        self._runtime = None
        for buffer in self._buffers.values():
            buffer.free()
        self._buffers = {}
        if self._cuda is not None:
            self._cuda.close()
        self._cuda = None

    def _run(self, feeds: Feeds) -> Outputs:
        cuda, context = self._opened()
        self._log.lines.clear()
        kept = [self._feed(context, cuda, spec, feeds[spec.name]) for spec in self.inputs]
        self._infer_shapes(context)
        allocators = {spec.name: self._make_room(context, spec) for spec in self.outputs}
        cuda.mark_start()
        if not context.execute_async_v3(cuda.stream):
            raise EngineError(f"{self._title} failed: {failure(self._log.lines)}")
        cuda.mark_end()
        outputs = self._fetch(context, cuda, allocators)
        cuda.synchronise()
        del kept  # copies to the device read the arrays until here
        self.device_ns = cuda.elapsed_ns()
        return outputs

    def _profile(self, feeds: Feeds) -> list[LayerTime]:
        """Times by the context's profiler, kinds and precisions by the engine's inspector.

        Raises:
            UnavailableError: when the flavour reports no times.
        """
        _, context = self._opened()
        for _ in range(_PROFILED_RUNS - 1):
            self._run(feeds)
        profiler = _profiler(self._trt)
        context.profiler = profiler
        try:
            self._run(feeds)
        finally:
            # A context keeps profiling once it has begun: the next run gets one that never has.
            self._context = None
            del context
            self._context = self._new_context()
        if not profiler.times:
            raise UnavailableError(f"{self._title} reports no times of layers", "Time the whole engine with bench.")
        known = {layer.name: layer for layer in self._layers()}
        return [
            LayerTime(name, known[name].kind, known[name].precision, 1e3 * milliseconds, known[name].nodes)
            if name in known
            else LayerTime(name, "unknown", "unknown", 1e3 * milliseconds)
            for name, milliseconds in profiler.times
        ]

    def _precisions(self, operators: Sequence[str]) -> dict[str, str]:
        """By the engine's inspector, which names the nodes behind each layer."""
        self._opened()
        return computed_in(operators, self._layers())

    @property
    def _title(self) -> str:
        return f"{TITLES[self._flavour]} {self._trt.__version__}"

    def _opened(self) -> tuple[Cuda, Any]:
        if self._cuda is None or self._context is None:
            raise EngineError("tensorrt is closed", "Open it again.")
        return self._cuda, self._context

    def _loaded(self, path: Path) -> Any:
        engine = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if engine is None:
            raise EngineError(
                f"{self._title} refuses {path.name}: {failure(self._log.lines)}",
                "Compile the model again, or run edgewright finish on the bundle with the typed model.",
            )
        return engine

    def _new_context(self) -> Any:
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"{self._title} cannot make the engine ready: {failure(self._log.lines)}", kind="memory")
        return context

    def _check_tensors(self) -> None:
        """Holds the engine's own names and types against the specs, before a byte is copied by them."""
        engine, trt = self._engine, self._trt
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        found = {name: (engine.get_tensor_mode(name), _dtype(trt, engine.get_tensor_dtype(name))) for name in names}
        inputs = {self._input_name(spec, names): (trt.TensorIOMode.INPUT, spec.dtype) for spec in self.inputs}
        outputs = {spec.name: (trt.TensorIOMode.OUTPUT, spec.dtype) for spec in self.outputs}
        wanted = {**inputs, **outputs}
        if found != wanted:
            wrong = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
            raise EngineError(f"the engine is not of this model: {', '.join(wrong)}", "Compile the model again.")
        self._fed = {spec.name: self._input_name(spec, names) for spec in self.inputs}

    def _input_name(self, spec: TensorSpec, names: list[str]) -> str:
        """The parser renames an input that is an output too: the name stays with the output."""
        renamed = f"__{spec.name}"
        shared = any(output.name == spec.name for output in self.outputs)
        return renamed if shared and renamed in names else spec.name

    def _feed(self, context: Any, cuda: Cuda, spec: TensorSpec, array: Array) -> Array:
        """Hands one input over; what it returns must live until the run has ended."""
        name = self._fed[spec.name]
        given = np.ascontiguousarray(array).reshape(array.shape)
        if not context.set_input_shape(name, tuple(given.shape)):
            low, _, high = self._engine.get_tensor_profile_shape(name, 0)
            raise BadInputError(
                f"input '{spec.name}' has shape {tuple(given.shape)}, the engine takes {tuple(low)} to {tuple(high)}",
                "Feed it within the range it was compiled for, or compile again with another --shape.",
            )
        if self._engine.get_tensor_location(name) == self._trt.TensorLocation.HOST:
            address = given.ctypes.data
        else:
            address = self._buffer(f"input {spec.name}").reserve(given.nbytes)
            cuda.to_device(address, given)
        context.set_tensor_address(name, address)
        return given

    def _infer_shapes(self, context: Any) -> None:
        try:
            lacking = context.infer_shapes()
        except RuntimeError as error:
            raise BadInputError(
                f"{self._title} cannot work with these shapes together: {failure(self._log.lines)}",
                "Feed shapes that fit one another.",
            ) from error
        if lacking:
            raise EngineError(f"{self._title} wants more of {', '.join(lacking)} before it can run")

    def _make_room(self, context: Any, spec: TensorSpec) -> Any:
        """Memory for an output: now where its size is known, else when the engine asks for it."""
        shape = tuple(context.get_tensor_shape(spec.name))
        buffer = self._buffer(spec.name)
        if all(dim >= 0 for dim in shape):
            size = int(np.prod(shape, dtype=np.int64)) * dtype_named(spec.dtype).itemsize
            context.set_tensor_address(spec.name, buffer.reserve(size))
            return None
        allocator = _allocator(self._trt, buffer)
        context.set_output_allocator(spec.name, allocator)
        return allocator

    def _fetch(self, context: Any, cuda: Cuda, allocators: dict[str, Any]) -> Outputs:
        if any(allocator is not None for allocator in allocators.values()):
            cuda.synchronise()  # only then are the sizes known that the data decides
        outputs: Outputs = {}
        for spec in self.outputs:
            allocator = allocators[spec.name]
            shape = tuple(context.get_tensor_shape(spec.name)) if allocator is None else allocator.shape
            if shape is None:
                raise EngineError(f"{self._title} gave no shape for '{spec.name}'")
            outputs[spec.name] = cuda.to_host(self._buffer(spec.name).address, shape, dtype_named(spec.dtype))
        return outputs

    def _buffer(self, name: str) -> Buffer:
        assert self._cuda is not None
        return self._buffers.setdefault(name, Buffer(self._cuda))

    def _layers(self) -> list[Any]:
        inspector = self._engine.create_engine_inspector()
        inspector.execution_context = self._context
        try:
            return list(inspected(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON)))
        except ValueError:
            return []


def _dtype(trt: ModuleType, kind: Any) -> str:
    """Our name of one of TensorRT's types."""
    return next((ours for name, ours in IO_TYPES.items() if kind == getattr(trt.DataType, name, None)), str(kind))


def _log(trt: ModuleType) -> Any:
    class Log(trt.ILogger):  # type: ignore[misc, name-defined] # the base is known at run time
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.lines: list[tuple[str, str]] = []

        def log(self, severity: Any, message: str) -> None:
            if severity.name not in ("VERBOSE", "INFO"):
                self.lines.append((severity.name, message))

    return Log()


def _profiler(trt: ModuleType) -> Any:
    class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self.times: list[tuple[str, float]] = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self.times.append((layer_name, ms))

    return Profiler()


def _allocator(trt: ModuleType, buffer: Buffer) -> Any:
    class Allocator(trt.IOutputAllocator):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IOutputAllocator.__init__(self)
            self.shape: tuple[int, ...] | None = None

        def reallocate_output(self, tensor_name: str, memory: int, size: int, alignment: int) -> int | None:
            del tensor_name, memory, alignment  # what CUDA allocates is aligned to 256 bytes or more
            try:
                return buffer.reserve(size)
            except EngineError:  # an exception would have to pass through TensorRT's own code
                return None

        def reallocate_output_async(
            self, tensor_name: str, memory: int, size: int, alignment: int, stream: int
        ) -> int | None:
            del stream
            return self.reallocate_output(tensor_name, memory, size, alignment)

        def notify_shape(self, tensor_name: str, shape: Any) -> None:
            del tensor_name
            self.shape = tuple(shape)

    return Allocator()
