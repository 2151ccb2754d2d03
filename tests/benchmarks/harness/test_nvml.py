"""The driver's library is played by a fake that writes through the same pointers."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import pytest

from edgewright.benchmarks.harness.nvml import Clocks, Gpu, GpuLimits, Nvml, held_back

NOT_SUPPORTED = 3


class FakeLibrary:
    """A library of one GPU at index 1; functions in ``without`` do not exist, those in ``refuses`` say no."""

    def __init__(self, without: tuple[str, ...] = (), refuses: tuple[str, ...] = (), reasons: int = 0x44) -> None:
        self._without, self._refuses, self._reasons = without, refuses, reasons
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name in self._without or not hasattr(type(self), f"do_{name}"):
            raise AttributeError(name)
        self.calls.append(name)
        if name in self._refuses:
            return lambda *_arguments: NOT_SUPPORTED
        return getattr(self, f"do_{name}")  # type: ignore[no-any-return]

    def do_nvmlInit_v2(self) -> int:
        return 0

    def do_nvmlDeviceGetHandleByIndex_v2(self, index: ctypes.c_uint, device: object) -> int:
        if index.value != 1:
            return NOT_SUPPORTED
        device._obj.value = 77  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetHandleByUUID(self, uuid: bytes, device: object) -> int:
        assert uuid == b"GPU-abc"
        device._obj.value = 77  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetName(self, device: ctypes.c_void_p, text: ctypes.Array[ctypes.c_char], size: int) -> int:
        assert (device.value, size) == (77, len(text))
        text.value = b"NVIDIA Test"
        return 0

    def do_nvmlSystemGetDriverVersion(self, text: ctypes.Array[ctypes.c_char], size: int) -> int:
        assert size == len(text)
        text.value = b"600.1"
        return 0

    def do_nvmlDeviceGetClockInfo(self, _device: object, kind: int, value: object) -> int:
        value._obj.value = {1: 1410, 2: 2600}[kind]  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetMaxClockInfo(self, _device: object, kind: int, value: object) -> int:
        value._obj.value = {1: 1980, 2: 2619}[kind]  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetTemperature(self, _device: object, kind: int, value: object) -> int:
        assert kind == 0
        value._obj.value = 54  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetPowerManagementLimit(self, _device: object, value: object) -> int:
        value._obj.value = 700_500  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetCudaComputeCapability(self, _device: object, major: object, minor: object) -> int:
        major._obj.value, minor._obj.value = 9, 0  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetTotalEnergyConsumption(self, _device: object, value: object) -> int:
        value._obj.value = 5_000_000_123  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetCurrentClocksThrottleReasons(self, _device: object, value: object) -> int:
        value._obj.value = self._reasons  # type: ignore[attr-defined]
        return 0


@pytest.mark.parametrize("visible", ["1", "1,0", "GPU-abc"])
def test_what_the_library_says_arrives_in_its_units(visible: str) -> None:
    read = Nvml(FakeLibrary(), visible)
    assert read.gpu() == Gpu("NVIDIA Test", "600.1", GpuLimits("9.0", 1980, 2619, 700.5))
    assert read.clocks() == Clocks(1410, 2600, 54, ("power cap", "hardware thermal slowdown"))
    assert read.energy_mj() == 5_000_000_123  # more than 32 bits


def test_a_gpu_that_is_hidden_is_not_read() -> None:
    for visible in ("0", "", " ", "-1", ",1"):
        read = Nvml(FakeLibrary(refuses=("nvmlDeviceGetHandleByUUID",)), visible)
        assert (read.gpu(), read.clocks(), read.energy_mj()) == (None, None, None)


class TwoBoards(FakeLibrary):
    """NVML counts them by address; the one at index 1 is the faster."""

    def do_nvmlDeviceGetCount_v2(self, count: object) -> int:
        count._obj.value = 2  # type: ignore[attr-defined]
        return 0

    def do_nvmlDeviceGetHandleByPciBusId_v2(self, address: bytes, device: object) -> int:
        assert address == b"0000:41:00.0"
        device._obj.value = 77  # type: ignore[attr-defined]
        return 0


@pytest.mark.parametrize("visible", [None, "0", "0,1"])
def test_of_several_gpus_cudas_first_is_read(visible: str | None) -> None:
    # Index 0 of CUDA is index 1 of NVML here.
    assert Nvml(TwoBoards(), visible, lambda: b"0000:41:00.0").gpu() is not None
    # Where CUDA says nothing, or there is one alone, the index is all there is.
    assert Nvml(TwoBoards(), visible, lambda: None).gpu() is None
    assert Nvml(FakeLibrary(), visible, lambda: b"0000:41:00.0").gpu() is None


def test_what_a_gpu_keeps_to_itself_is_none_and_the_rest_is_there() -> None:
    library = FakeLibrary(
        without=("nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetCudaComputeCapability"),
        refuses=(
            "nvmlDeviceGetPowerManagementLimit",
            "nvmlDeviceGetTemperature",
            "nvmlDeviceGetTotalEnergyConsumption",
        ),
    )
    read = Nvml(library, "1")
    assert read.energy_mj() is None
    assert read.gpu() == Gpu("NVIDIA Test", "600.1", GpuLimits(None, 1980, 2619, None))
    assert read.clocks() == Clocks(1410, 2600, None, None)


def test_a_driver_that_does_not_start_is_no_gpu() -> None:
    read = Nvml(FakeLibrary(refuses=("nvmlInit_v2",)), "1")
    assert (read.gpu(), read.clocks()) == (None, None)


def test_no_library_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_name: str) -> None:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert (Nvml().gpu(), Nvml().clocks()) == (None, None)


def reading(sm_mhz: int | None, *throttle: str) -> Clocks:
    return Clocks(sm_mhz, 2600, 60, throttle)


@pytest.mark.parametrize(
    ("readings", "void"),
    [
        ([], False),
        ([reading(None)], False),
        ([reading(1000), reading(950)], False),
        ([reading(1000), reading(949)], True),
        ([reading(1000), reading(949), reading(1000)], True),
        ([reading(900), reading(1000), reading(951)], False),  # it rose on the way: what counts is the beginning
        ([reading(1000, "power cap", "application clocks")], False),
        ([reading(1000), reading(1000, "software thermal slowdown"), reading(1000)], True),
        ([reading(1000), reading(1000, "power brake")], True),
        ([Clocks(1000, None, None, None)], False),
    ],
)
def test_what_voids(readings: list[Clocks], void: bool) -> None:
    assert (held_back(readings) is not None) is void
