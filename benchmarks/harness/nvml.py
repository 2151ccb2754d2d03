"""What an NVIDIA GPU says of itself: name, driver, clocks, temperature, and why its clocks are held back.

Read from the driver's own library (``libnvidia-ml.so.1``) through ctypes: no package, no root. Nothing here raises:
where there is no library, or a GPU keeps a figure to itself, the answer is None. Function names, constants and units
are those of NVML's reference manual (docs.nvidia.com/deploy/nvml-api).
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Protocol, cast

CLOCK_DROP_LIMIT = 0.05
"""A run is void when the SM clock falls by more than this share of what it was when the run began, warm."""

_CLOCK_SM, _CLOCK_MEMORY, _TEMPERATURE_GPU = 1, 2, 0
_TEXT_BYTES, _ADDRESS_BYTES = 96, 32

REASONS: Mapping[int, str] = MappingProxyType(
    {
        0x1: "idle",
        0x2: "application clocks",
        0x4: "power cap",
        0x8: "hardware slowdown",
        0x10: "sync boost",
        0x20: "software thermal slowdown",
        0x40: "hardware thermal slowdown",
        0x80: "power brake",
        0x100: "display clocks",
    }
)
"""Bits of ``nvmlDeviceGetCurrentClocksThrottleReasons`` -> what they mean."""

VOIDING = frozenset({"hardware slowdown", "software thermal slowdown", "hardware thermal slowdown", "power brake"})
"""Reasons that void a run. The power cap is not among them: it is how a board works under load, and it is recorded."""


class Library(Protocol):
    """A loaded ``libnvidia-ml``: functions by their names, each giving 0 when it did what it was asked."""

    def __getattr__(self, name: str) -> Callable[..., int]: ...


@dataclass(frozen=True)
class GpuLimits:
    """What does not change while a GPU works; None for what it does not say."""

    capability: str | None
    """Compute capability, such as ``9.0``."""
    sm_max_mhz: int | None
    memory_max_mhz: int | None
    power_limit_w: float | None


@dataclass(frozen=True)
class Gpu:
    """A GPU and its driver."""

    name: str
    driver: str | None
    limits: GpuLimits


@dataclass(frozen=True)
class Clocks:
    """One reading; None for what the GPU does not say."""

    sm_mhz: int | None
    memory_mhz: int | None
    temperature_c: int | None
    throttle: tuple[str, ...] | None
    """Why the clocks are not higher, in the words of :data:`REASONS`."""


class Nvml:
    """One GPU as the driver's library shows it: the first that CUDA would use.

    Args:
        library: a loaded one; None loads the system's.
        visible: the value of ``CUDA_VISIBLE_DEVICES``: its first entry, an index or a UUID, is the GPU. None where it
            is not set; one without entries hides every GPU.
        first_of_cuda: gives the PCI address of the GPU that CUDA has first. It is asked where there are several and an
            index is all that is known: CUDA counts the fastest first, NVML by address.
    """

    def __init__(
        self,
        library: Library | None = None,
        visible: str | None = None,
        first_of_cuda: Callable[[], bytes | None] = lambda: None,
    ) -> None:
        self._library = _load("libnvidia-ml.so.1") if library is None else library
        self._device = None if self._library is None else self._find(visible, first_of_cuda)

    def gpu(self) -> Gpu | None:
        """Name, driver and limits; None where there is no GPU."""
        name = self._text("nvmlDeviceGetName", self._device)
        if name is None:
            return None
        watts = self._number("nvmlDeviceGetPowerManagementLimit")
        limits = GpuLimits(
            capability=self._capability(),
            sm_max_mhz=self._number("nvmlDeviceGetMaxClockInfo", _CLOCK_SM),
            memory_max_mhz=self._number("nvmlDeviceGetMaxClockInfo", _CLOCK_MEMORY),
            power_limit_w=None if watts is None else watts / 1000,
        )
        return Gpu(name, self._text("nvmlSystemGetDriverVersion"), limits)

    def clocks(self) -> Clocks | None:
        """A reading now; None where there is no GPU."""
        if self._device is None:
            return None
        reading = Clocks(
            sm_mhz=self._number("nvmlDeviceGetClockInfo", _CLOCK_SM),
            memory_mhz=self._number("nvmlDeviceGetClockInfo", _CLOCK_MEMORY),
            temperature_c=self._number("nvmlDeviceGetTemperature", _TEMPERATURE_GPU),
            throttle=self._throttle(),
        )
        return None if reading == Clocks(None, None, None, None) else reading

    def energy_mj(self) -> int | None:
        """Millijoules that the board has taken since its driver was loaded; None where it does not count them."""
        value = ctypes.c_ulonglong()
        said = self._device and self._call("nvmlDeviceGetTotalEnergyConsumption", self._device, ctypes.byref(value))
        return value.value if said else None

    def _find(self, visible: str | None, first_of_cuda: Callable[[], bytes | None]) -> ctypes.c_void_p | None:
        entry = "0" if visible is None else visible.split(",")[0].strip()
        if not entry or not self._call("nvmlInit_v2"):
            return None
        device, count = ctypes.c_void_p(), ctypes.c_uint()
        if not entry.isdigit():
            found = self._call("nvmlDeviceGetHandleByUUID", entry.encode(), ctypes.byref(device))
            return device if found else None
        several = self._call("nvmlDeviceGetCount_v2", ctypes.byref(count)) and count.value > 1
        address = first_of_cuda() if several else None
        if address is not None:
            found = self._call("nvmlDeviceGetHandleByPciBusId_v2", address, ctypes.byref(device))
        else:
            found = self._call("nvmlDeviceGetHandleByIndex_v2", ctypes.c_uint(int(entry)), ctypes.byref(device))
        return device if found else None

    def _call(self, name: str, *arguments: object) -> bool:
        try:
            done: int = getattr(self._library, name)(*arguments)
        except (AttributeError, OSError, ctypes.ArgumentError):  # an old library without the function
            return False
        return done == 0

    def _text(self, name: str, device: ctypes.c_void_p | None = None) -> str | None:
        if self._device is None:
            return None
        text = ctypes.create_string_buffer(_TEXT_BYTES)
        before = () if device is None else (device,)
        return text.value.decode(errors="replace") if self._call(name, *before, text, _TEXT_BYTES) else None

    def _number(self, name: str, *arguments: int) -> int | None:
        value = ctypes.c_uint()
        return value.value if self._device and self._call(name, self._device, *arguments, ctypes.byref(value)) else None

    def _capability(self) -> str | None:
        major, minor = ctypes.c_int(), ctypes.c_int()
        asked = (self._device, ctypes.byref(major), ctypes.byref(minor))
        said = self._call("nvmlDeviceGetCudaComputeCapability", *asked)
        return f"{major.value}.{minor.value}" if said else None

    def _throttle(self) -> tuple[str, ...] | None:
        bits = ctypes.c_ulonglong()
        if not self._call("nvmlDeviceGetCurrentClocksThrottleReasons", self._device, ctypes.byref(bits)):
            return None
        return tuple(meaning for bit, meaning in REASONS.items() if bits.value & bit)


@cache
def this_gpu() -> Nvml:
    """The GPU that CUDA uses in this process and its children; opened once."""
    return Nvml(visible=os.environ.get("CUDA_VISIBLE_DEVICES"), first_of_cuda=_first_of_cuda)


def reading_of(row: Mapping[str, object]) -> Clocks:
    """The reading that ``asdict`` made an object of, back from JSON."""
    throttle = cast("list[str] | None", row["throttle"])
    return Clocks(
        sm_mhz=cast("int | None", row["sm_mhz"]),
        memory_mhz=cast("int | None", row["memory_mhz"]),
        temperature_c=cast("int | None", row["temperature_c"]),
        throttle=None if throttle is None else tuple(throttle),
    )


def held_back(readings: Sequence[Clocks]) -> str | None:
    """Why what was timed between these readings is void, the first of them being its beginning; None where it is not.

    >>> held_back([Clocks(1980, 2619, 60, ()), Clocks(1800, 2619, 80, ("power cap",))])
    'the SM clock fell from 1980 to 1800 MHz'
    >>> held_back([Clocks(1980, 2619, 60, ("power cap",)), Clocks(1965, 2619, 61, ("power cap",))])
    """
    for reading in readings:
        for reason in reading.throttle or ():
            if reason in VOIDING:
                return f"the GPU throttled itself: {reason}"
    speeds = [reading.sm_mhz for reading in readings if reading.sm_mhz is not None]
    if speeds and min(speeds) < (1 - CLOCK_DROP_LIMIT) * speeds[0]:
        return f"the SM clock fell from {speeds[0]} to {min(speeds)} MHz"
    return None


def _first_of_cuda() -> bytes | None:
    """By CUDA's own driver, which heeds what is set of visibility and order; no context is made on the GPU."""
    driver, device, text = _load("libcuda.so.1"), ctypes.c_int(), ctypes.create_string_buffer(_ADDRESS_BYTES)
    if driver is None or driver.cuInit(0) != 0 or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return None
    return text.value if driver.cuDeviceGetPCIBusId(text, _ADDRESS_BYTES, device) == 0 else None


def _load(name: str) -> Library | None:
    try:
        return cast("Library", ctypes.CDLL(name))
    except OSError:
        return None
