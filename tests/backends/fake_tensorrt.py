"""A small TensorRT and a small CUDA driver: they keep the rules of the real ones and compute next to nothing.

What is queued on a stream happens when the stream is waited for, so that whoever reads too early reads nonsense. The
engine doubles its input; a second output, where the plan has one, is its numbers above zero: the data decides how many.
"""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class FakeDriver:
    """The functions of libcuda that are used, on host memory. ``free`` of what was never given fails."""

    def __init__(self, elapsed_ms: float = 0.25, room: int = 1 << 30) -> None:
        self.memory: dict[int, Any] = {}
        self.queue: list[Callable[[], None]] = []
        self.elapsed_ms, self.room = elapsed_ms, room
        self.events: list[str] = []
        self.open_objects = 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = index
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:
        return self._create(context)

    def cuCtxSetCurrent(self, context: Any) -> int:
        return 0 if context.value else 201  # CUDA_ERROR_INVALID_CONTEXT

    def cuStreamCreate(self, stream: Any, flags: int) -> int:
        STREAMS[len(STREAMS) + 1] = self
        self.open_objects += 1
        stream._obj.value = len(STREAMS)
        return 0

    def cuEventCreate(self, event: Any, flags: int) -> int:
        return self._create(event)

    def cuEventRecord(self, event: Any, stream: Any) -> int:
        self.queue.append(lambda: self.events.append(f"event {event.value}"))
        return 0

    def cuEventElapsedTime(self, milliseconds: Any, start: Any, end: Any) -> int:
        if f"event {start.value}" not in self.events or f"event {end.value}" not in self.events:
            return 600  # CUDA_ERROR_NOT_READY
        milliseconds._obj.value = self.elapsed_ms
        return 0

    def cuEventDestroy_v2(self, event: Any) -> int:
        return self._destroy()

    def cuStreamDestroy_v2(self, stream: Any) -> int:
        return self._destroy()

    def cuDevicePrimaryCtxRelease_v2(self, device: Any) -> int:
        return self._destroy()

    def cuMemAlloc_v2(self, address: Any, size: Any) -> int:
        if size.value == 0:
            return 1  # CUDA_ERROR_INVALID_VALUE
        if size.value > self.room:
            return 2  # CUDA_ERROR_OUT_OF_MEMORY
        block = ctypes.create_string_buffer(b"\xcd" * size.value, size.value)
        self.memory[ctypes.addressof(block)] = block
        address._obj.value = ctypes.addressof(block)
        return 0

    def cuMemFree_v2(self, address: Any) -> int:
        return 0 if self.memory.pop(address.value, None) is not None else 1

    def cuMemcpyHtoDAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:
        return self._copy(to.value, source.value, size.value, device=to.value)

    def cuMemcpyDtoHAsync_v2(self, to: Any, source: Any, size: Any, stream: Any) -> int:
        return self._copy(to.value, source.value, size.value, device=source.value)

    def cuStreamSynchronize(self, stream: Any) -> int:
        queue, self.queue = self.queue, []
        for action in queue:
            action()
        return 0

    def cuGetErrorString(self, status: int, text: Any) -> int:
        text._obj.value = {2: b"out of memory"}.get(status, b"invalid argument")
        return 0

    def _copy(self, to: int, source: int, size: int, *, device: int) -> int:
        block = self.memory.get(device)
        if block is None or size > len(block):
            return 1
        self.queue.append(lambda: ctypes.memmove(to, source, size))
        return 0

    def _create(self, handle: Any) -> int:
        self.open_objects += 1
        handle._obj.value = 1000 + self.open_objects
        return 0

    def _destroy(self) -> int:
        self.open_objects -= 1
        return 0


STREAMS: dict[int, FakeDriver] = {}
"""Handle -> the driver it belongs to."""


def plan(version: str = "10.13.3.9", *, data_decides: bool = False, **changes: Any) -> bytes:
    """An engine's bytes: float32 x[1..4, 3] -> y of the same shape, and the numbers above zero of it as ``z``."""
    tensors = [
        {"name": "x", "mode": "INPUT", "dtype": "FLOAT", "shape": [-1, 3], "profile": [[1, 3], [2, 3], [4, 3]]},
        {"name": "y", "mode": "OUTPUT", "dtype": "FLOAT", "shape": [-1, 3]},
    ]
    if data_decides:
        tensors.append({"name": "z", "mode": "OUTPUT", "dtype": "FLOAT", "shape": [-1]})
    words = {
        "conv1 + relu": "Thirty-two wide channel vectorized row major Int8 format",
        "last": "Row major linear FP16",
    }
    layers = [
        {
            "Name": name,
            "LayerType": kind,
            "Metadata": "\x1e".join(f"[ONNX Layer: {part}]" for part in name.split(" + ")),
            "Inputs": [{"Name": "x", "Dimensions": [1, 3], "Format/Datatype": words[name]}],
        }
        for name, kind in (("conv1 + relu", "CaskConvolution"), ("last", "kgen"))
    ]
    return json.dumps({"version": version, "tensors": tensors, "layers": layers, **changes}).encode()


def flags(name: str, *members: str) -> Any:
    return Enum(name, {member: index for index, member in enumerate(members)})


class Context:
    def __init__(self, module: Any, content: dict[str, Any], log: Any) -> None:
        self._module, self._content, self._log = module, content, log
        self.profiler: Any = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._allocators: dict[str, Any] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        low, _, high = self._tensor(name)["profile"]
        if len(shape) != len(low) or any(not a <= b <= c for a, b, c in zip(low, shape, high, strict=True)):
            self._log.log(
                self._module.Severity.ERROR, f"IExecutionContext::setInputShape: Error Code 3: API Usage {shape}"
            )
            return False
        self._shapes[name] = shape
        return True

    def infer_shapes(self) -> list[str]:
        return [item["name"] for item in self._tensors("INPUT") if item["name"] not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1,) if name == "z" else self._shapes[self._first("INPUT")]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._tensor(name)
        self._addresses[name] = address
        return True

    def set_output_allocator(self, name: str, allocator: Any) -> bool:
        assert isinstance(allocator, self._module.IOutputAllocator)
        self._allocators[name] = allocator
        return True

    def execute_async_v3(self, stream: int) -> bool:
        driver = STREAMS[stream]
        given, made = self._first("INPUT"), self._first("OUTPUT")
        if self._content.get("fails") or given not in self._addresses or made not in self._addresses:
            self._log.log(
                self._module.Severity.ERROR,
                "IExecutionContext::enqueueV3: Error Code 3: API Usage Error (no address. In x at /_src/a.cpp:1)",
            )
            return False
        x, y = self._addresses[given], self._addresses[made]
        shape = self._shapes[given]
        count = int(np.prod(shape))
        driver.queue.append(lambda: ctypes.memmove(y, (self._floats(x, count) * 2).ctypes.data, 4 * count))
        if self._allocators:
            driver.cuStreamSynchronize(None)  # the real one waits as well before it asks for memory
            found = self._floats(x, count)
            found = found[found > 0] * 1
            allocator = self._allocators["z"]
            address = allocator.reallocate_output_async("z", 0, found.nbytes, 256, stream)
            if not address:
                self._log.log(self._module.Severity.ERROR, "Requested amount of output memory could not be allocated")
                return False
            allocator.notify_shape("z", (found.size,))
            driver.queue.append(lambda: ctypes.memmove(address, found.ctypes.data, found.nbytes))
        if self.profiler is not None:
            for index, layer in enumerate(self._content["layers"]):
                self.profiler.report_layer_time(layer["Name"], 0.5 + index)
        return True

    @staticmethod
    def _floats(address: int, count: int) -> Any:
        return np.frombuffer(ctypes.string_at(address, 4 * count), np.float32)

    def _first(self, mode: str) -> str:
        return str(self._tensors(mode)[0]["name"])

    def _tensors(self, mode: str) -> list[dict[str, Any]]:
        return [item for item in self._content["tensors"] if item["mode"] == mode]

    def _tensor(self, name: str) -> dict[str, Any]:
        return next(item for item in self._content["tensors"] if item["name"] == name)


class Engine:
    def __init__(self, module: Any, content: dict[str, Any], log: Any) -> None:
        self._module, self._content, self._log = module, content, log
        self.num_io_tensors = len(content["tensors"])

    def create_execution_context(self) -> Context | None:
        return None if self._content.get("too_large") else Context(self._module, self._content, self._log)

    def create_engine_inspector(self) -> Any:
        layers = self._content["layers"]

        class Inspector:
            execution_context: Any = None

            def get_engine_information(self, form: Any) -> str:
                assert form.name == "JSON"
                return json.dumps({"Layers": layers, "Bindings": ["x", "y"]})

        return Inspector()

    def get_tensor_name(self, index: int) -> str:
        return str(self._content["tensors"][index]["name"])

    def get_tensor_mode(self, name: str) -> Any:
        return self._module.TensorIOMode[self._tensor(name)["mode"]]

    def get_tensor_dtype(self, name: str) -> Any:
        return self._module.DataType[self._tensor(name)["dtype"]]

    def get_tensor_location(self, name: str) -> Any:
        return self._module.TensorLocation.DEVICE

    def get_tensor_profile_shape(self, name: str, index: int) -> list[tuple[int, ...]]:
        assert index == 0
        return [tuple(shape) for shape in self._tensor(name)["profile"]]

    def _tensor(self, name: str) -> dict[str, Any]:
        return next(item for item in self._content["tensors"] if item["name"] == name)


class Cache:
    def __init__(self, content: bytes) -> None:
        self.content = content

    def serialize(self) -> bytes:
        return b"times of " + (self.content or b"nothing")


class Config:
    def __init__(self) -> None:
        self.profiling_verbosity: Any = None
        self.limits: dict[Any, int] = {}
        self.profiles: list[dict[str, Any]] = []
        self.cache: Cache | None = None

    def set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self.limits[pool.name] = size

    def add_optimization_profile(self, profile: Any) -> int:
        self.profiles.append(profile.shapes)
        return len(self.profiles) - 1

    def create_timing_cache(self, content: bytes) -> Cache | None:
        return None if content.startswith(b"damaged") else Cache(content)

    def set_timing_cache(self, cache: Cache, ignore_mismatch: bool) -> bool:
        assert not ignore_mismatch
        self.cache = cache
        return True


class Profile:
    def __init__(self) -> None:
        self.shapes: dict[str, Any] = {}

    def set_shape(self, name: str, low: Any, usual: Any, high: Any) -> None:
        assert all(a <= b <= c for a, b, c in zip(low, usual, high, strict=True))
        self.shapes[name] = [low, usual, high]


class InputTensor:
    def __init__(self, name: str, shape: tuple[int, ...], *, shape_tensor: bool = False) -> None:
        self.name, self.shape, self.is_shape_tensor = name, shape, shape_tensor


class Builder:
    """Builds :func:`plan`; what it was told is kept in ``built``."""

    def __init__(self, module: Any, log: Any) -> None:
        self._module, self._log = module, log

    def create_network(self, chosen: int) -> Any:
        strongly_typed = getattr(self._module.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
        if strongly_typed is None:
            assert chosen == 0
        return type("Network", (), {"inputs": [], "flags": chosen})()

    def create_builder_config(self) -> Config:
        return Config()

    def create_optimization_profile(self) -> Profile:
        return Profile()

    def build_serialized_network(self, network: Any, config: Config) -> bytes | None:
        self._module.built = (network, config)
        self._log.log(
            self._module.Severity.WARNING, "Skipping tactic 0x12 due to insufficient memory on requested size of 99"
        )
        if any(-1 in item.shape for item in network.inputs) and not config.profiles:
            self._log.log(self._module.Severity.ERROR, "no optimization profile has been defined")
            return None
        return plan(self._module.__version__)


def module(version: str, inputs: list[InputTensor] | None = None) -> ModuleType:
    """``tensorrt`` of that version; its parser finds ``inputs`` in every file."""
    fake: Any = ModuleType("tensorrt")
    fake.__version__ = version
    fake.ILogger = type("ILogger", (), {"log": lambda *_: None})
    fake.IProfiler = type("IProfiler", (), {})
    fake.IOutputAllocator = type("IOutputAllocator", (), {})
    fake.Severity = flags("Severity", "INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")
    fake.TensorIOMode = flags("TensorIOMode", "NONE", "INPUT", "OUTPUT")
    fake.TensorLocation = flags("TensorLocation", "DEVICE", "HOST")
    fake.DataType = flags("DataType", "FLOAT", "HALF", "INT8", "INT32", "BOOL", "UINT8", "FP8", "BF16", "INT64")
    fake.LayerInformationFormat = flags("LayerInformationFormat", "ONELINE", "JSON")
    fake.ProfilingVerbosity = flags("ProfilingVerbosity", "LAYER_NAMES_ONLY", "NONE", "DETAILED")
    fake.MemoryPoolType = flags("MemoryPoolType", "WORKSPACE")
    # TensorRT 10 has EXPLICIT_BATCH as its first flag; from 11 on every network is strongly typed.
    ten = version.startswith("10.")
    fake.NetworkDefinitionCreationFlag = flags("Flag", "EXPLICIT_BATCH", *(["STRONGLY_TYPED"] if ten else []))
    fake.Builder = lambda log: Builder(fake, log)

    class Parser:
        num_errors = 0

        def __init__(self, network: Any, log: Any) -> None:
            self._network = network

        def parse_from_file(self, path: str) -> bool:
            assert Path(path).exists()
            self._network.inputs = list(inputs or [])
            self._network.num_inputs = len(self._network.inputs)
            self._network.get_input = lambda index: self._network.inputs[index]
            return True

    class Runtime:
        def __init__(self, log: Any) -> None:
            assert isinstance(log, fake.ILogger)
            self._log = log

        def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
            try:
                found = json.loads(content)
            except ValueError:
                self._log.log(
                    fake.Severity.ERROR,
                    "IRuntime::deserializeCudaEngine: Error Code 1: Serialization"
                    " (Serialization assertion failed. In x at /_src/a.cpp:48)",
                )
                return None
            assert found["version"] == version, "an engine of another version must be refused before it is read"
            return Engine(fake, found, self._log)

    fake.OnnxParser, fake.Runtime = Parser, Runtime
    result: ModuleType = fake
    return result
