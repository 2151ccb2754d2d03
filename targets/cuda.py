"""Which NVIDIA GPUs are here, as their driver tells: asked through ctypes, so that no package of NVIDIA's is needed."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

LIBRARY = "libcuda.so.1"
"""The driver's own library; a machine without the driver has none."""
_NAME_BYTES = 256
_MAJOR, _MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR of cuda.h."""
_NO_DEVICE = 100
"""CUDA_ERROR_NO_DEVICE."""
NO_DRIVER = "no NVIDIA driver on this machine"
NO_GPU = "the NVIDIA driver sees no GPU"


@dataclass(frozen=True)
class CudaDevice:
    """One GPU."""

    index: int
    """Its number for CUDA, after ``CUDA_VISIBLE_DEVICES``."""
    name: str
    compute_capability: tuple[int, int]
    memory_bytes: int

    @property
    def sm(self) -> str:
        """The compute capability as targets write it, such as ``sm_90``."""
        return sm(self.compute_capability)


@dataclass(frozen=True)
class Cuda:
    """What the driver tells of this machine."""

    devices: tuple[CudaDevice, ...]
    version: tuple[int, int] | None
    """The newest CUDA that the driver serves; None where there is no driver."""
    reason: str
    """Why there are no devices; empty where there are."""


class Driver(Protocol):
    """The library: every function gives 0 or an error's number, and its results through pointers."""

    def __getattr__(self, name: str) -> Callable[..., int]: ...


class _DriverError(Exception):
    def __init__(self, call: str, number: int) -> None:
        super().__init__(f"the NVIDIA driver answers error {number} to {call}")
        self.number = number


def sm(compute_capability: tuple[int, int]) -> str:
    """A compute capability as targets write it.

    >>> sm((12, 0))
    'sm_120'
    """
    return f"sm_{compute_capability[0]}{compute_capability[1]}"


@cache
def this_cuda() -> Cuda:
    """The GPUs of this machine, asked for once; about a tenth of a second with a driver, nothing without one."""
    return read_cuda(lambda: ctypes.CDLL(LIBRARY))


def read_cuda(load: Callable[[], Driver]) -> Cuda:
    """The GPUs of the driver that ``load`` opens; whatever goes wrong is the answer's ``reason``.

    Args:
        load: opens the library; an OSError means that there is none.
    """
    try:
        driver = load()
    except OSError:
        return Cuda((), None, NO_DRIVER)
    version = None
    try:
        version = _version(driver)
        _call(driver, "cuInit", 0)
        devices = tuple(_device(driver, index) for index in range(_number(driver, "cuDeviceGetCount")))
    except _DriverError as error:
        return Cuda((), version, NO_GPU if error.number == _NO_DEVICE else str(error))
    except AttributeError as error:  # a library of that name which is no driver
        return Cuda((), version, f"{LIBRARY} is not a whole NVIDIA driver: {error}")
    return Cuda(devices, version, "" if devices else NO_GPU)


def absence(capability: tuple[int, int], hardware: str, cuda: Cuda) -> str | None:
    """None when the first GPU has exactly ``capability``, else what is here in its place.

    Exactly: an engine that was built for another one does not open, and its times would not be ``hardware``'s. The
    first: it is the one that every runtime takes.
    """
    if not cuda.devices:
        return cuda.reason
    first, *others = cuda.devices
    if first.compute_capability == capability:
        return None
    if any(device.compute_capability == capability for device in others):
        here = f"the first GPU here is {first.name} ({first.sm})"
        return f"{here}, {hardware} is {sm(capability)}: choose by CUDA_VISIBLE_DEVICES"
    here = ", ".join(dict.fromkeys(f"{device.name} ({device.sm})" for device in cuda.devices))
    verb = "GPU here is" if len(cuda.devices) == 1 else "GPUs here are"
    return f"the {verb} {here}, {hardware} is {sm(capability)}"


def _version(driver: Driver) -> tuple[int, int]:
    number = _number(driver, "cuDriverGetVersion")  # 1000 * major + 10 * minor
    return number // 1000, number % 1000 // 10


def _device(driver: Driver, index: int) -> CudaDevice:
    handle = ctypes.c_int()
    _call(driver, "cuDeviceGet", ctypes.byref(handle), index)
    name = ctypes.create_string_buffer(_NAME_BYTES)
    _call(driver, "cuDeviceGetName", name, _NAME_BYTES, handle)
    memory = ctypes.c_size_t()
    _call(driver, "cuDeviceTotalMem_v2", ctypes.byref(memory), handle)
    major, minor = (_number(driver, "cuDeviceGetAttribute", which, handle) for which in (_MAJOR, _MINOR))
    return CudaDevice(index, name.value.decode(errors="replace"), (major, minor), memory.value)


def _number(driver: Driver, call: str, *arguments: object) -> int:
    value = ctypes.c_int()
    _call(driver, call, ctypes.byref(value), *arguments)
    return value.value


def _call(driver: Driver, call: str, *arguments: object) -> None:
    number = getattr(driver, call)(*arguments)
    if number != 0:
        raise _DriverError(call, number)
