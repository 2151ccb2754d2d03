"""Device memory, streams and events through the CUDA driver's own library, which is wherever an NVIDIA GPU is.

Nothing has to be installed for it: no toolkit, no Python binding. It works in the device's primary context, which all
users of CUDA in the process share (TensorRT among them).
Source: NVIDIA's CUDA Driver API reference, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from typing import Protocol, cast

import numpy as np

from edgewright.core.errors import EngineError, TargetAbsentError
from edgewright.core.tensors import Array

_LIBRARIES = ("libcuda.so.1", "libcuda.so", "nvcuda.dll")
_OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY


class Driver(Protocol):
    """The library: every function gives 0 or an error's number, and results through its first arguments."""

    def __getattr__(self, name: str) -> Callable[..., int]: ...


def load_driver() -> Driver:
    """The driver's library, initialised.

    Raises:
        TargetAbsentError: when there is none, or it finds no device.
    """
    for name in _LIBRARIES:
        with contextlib.suppress(OSError):
            library = cast("Driver", ctypes.CDLL(name))
            status = library.cuInit(0)
            if status:
                problem = f"the NVIDIA driver here cannot be used (CUDA error {status})"
                raise TargetAbsentError(problem, "Run nvidia-smi to see what is wrong with it.")
            return library
    raise TargetAbsentError(
        "there is no NVIDIA driver on this machine", "Run it on the machine with the GPU it was made for."
    )


class Buffer:
    """A piece of device memory that only grows."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda
        self._capacity = 0
        self.address = 0

    def reserve(self, size: int) -> int:
        """Makes room for ``size`` bytes; what was in it may be lost. Returns the address, never 0.

        Raises:
            EngineError: when the device has no such memory left.
        """
        wanted = max(1, size)  # an engine wants an address even for an empty tensor
        if wanted > self._capacity:
            self.free()
            self.address = self._cuda.allocate(wanted)
            self._capacity = wanted
        return self.address

    def free(self) -> None:
        """Gives the memory back."""
        if self.address:
            self._cuda.release(self.address)
        self.address, self._capacity = 0, 0


class Cuda:
    """The first device: one stream, and a pair of events round the work on it.

    Raises:
        TargetAbsentError: without a driver or a device.
        EngineError: when the device cannot be used.
    """

    def __init__(self, driver: Driver | None = None) -> None:
        self._driver = load_driver() if driver is None else driver
        self._device, self._context = ctypes.c_int(), ctypes.c_void_p()
        self._stream, self._start, self._end = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuDeviceGet", ctypes.byref(self._device), 0)
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), self._device)
        self._call("cuCtxSetCurrent", self._context)
        self._call("cuStreamCreate", ctypes.byref(self._stream), 1)  # CU_STREAM_NON_BLOCKING
        self._call("cuEventCreate", ctypes.byref(self._start), 0)
        self._call("cuEventCreate", ctypes.byref(self._end), 0)
        self._open = True

    @property
    def stream(self) -> int:
        """The stream's handle, as engines take it."""
        return self._stream.value or 0

    def allocate(self, size: int) -> int:
        """Address of ``size`` new bytes."""
        address = ctypes.c_uint64()
        self._call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
        return address.value

    def release(self, address: int) -> None:
        """Frees what :meth:`allocate` gave, once the stream has done with it."""
        self.synchronise()
        self._call("cuMemFree_v2", ctypes.c_uint64(address))

    def to_device(self, address: int, array: Array) -> None:
        """Queues a copy of a C-contiguous array; it must live until the stream is synchronised."""
        assert array.flags.c_contiguous
        if array.nbytes:
            self._call(
                "cuMemcpyHtoDAsync_v2",
                ctypes.c_uint64(address),
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_size_t(array.nbytes),
                self._stream,
            )

    def to_host(self, address: int, shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
        """Queues a copy into a new array, which is valid when the stream has been synchronised."""
        array: Array = np.empty(shape, dtype)
        if array.nbytes:
            self._call(
                "cuMemcpyDtoHAsync_v2",
                ctypes.c_void_p(array.ctypes.data),
                ctypes.c_uint64(address),
                ctypes.c_size_t(array.nbytes),
                self._stream,
            )
        return array

    def mark_start(self) -> None:
        """Records the first event: what is queued from here on counts."""
        self._call("cuEventRecord", self._start, self._stream)

    def mark_end(self) -> None:
        """Records the second event."""
        self._call("cuEventRecord", self._end, self._stream)

    def synchronise(self) -> None:
        """Waits until all that was queued is done."""
        self._call("cuStreamSynchronize", self._stream)

    def elapsed_ns(self) -> int:
        """Nanoseconds between the two events, by the device's clock (its resolution is about 0.5 us)."""
        milliseconds = ctypes.c_float()
        self._call("cuEventElapsedTime", ctypes.byref(milliseconds), self._start, self._end)
        return round(milliseconds.value * 1e6)

    def close(self) -> None:
        """Gives back stream, events and context."""
        if not self._open:
            return
        self._open = False
        with contextlib.suppress(EngineError):
            self.synchronise()
            self._call("cuEventDestroy_v2", self._start)
            self._call("cuEventDestroy_v2", self._end)
            self._call("cuStreamDestroy_v2", self._stream)
            self._call("cuDevicePrimaryCtxRelease_v2", self._device)

    def _call(self, name: str, *arguments: object) -> None:
        _check(self._driver, name, *arguments)


def _check(driver: Driver, name: str, *arguments: object) -> None:
    status = getattr(driver, name)(*arguments)
    if not status:
        return
    text = ctypes.c_char_p()
    known = driver.cuGetErrorString(status, ctypes.byref(text)) == 0 and text.value
    reason = known.decode(errors="replace") if known else f"error {status}"
    kind = "memory" if status == _OUT_OF_MEMORY else "raised"
    raise EngineError(f"CUDA's {name} failed: {reason}", "Run nvidia-smi to see the device's state.", kind)
