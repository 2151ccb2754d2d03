from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import cast

import pytest

from edgewright.targets.cuda import NO_DRIVER, NO_GPU, Cuda, CudaDevice, absence, read_cuda, this_cuda
from edgewright.targets.detect import Host, is_present, stands_in
from edgewright.targets.load import load_targets

H200 = CudaDevice(0, "NVIDIA H200", (9, 0), 150 << 30)
RTX_4090 = CudaDevice(1, "NVIDIA GeForce RTX 4090", (8, 9), 24 << 30)
HOST = Host("x86_64", "a chip", frozenset(), 4, None)


class FakeDriver:
    """Answers as libcuda does: an error's number, and results through pointers."""

    def __init__(self, *devices: CudaDevice, errors: dict[str, int] | None = None, version: int = 13050) -> None:
        self.devices, self.errors, self.version = devices, errors or {}, version

    def __getattr__(self, name: str) -> Callable[..., int]:
        answer = getattr(type(self), f"answer_{name}")
        return lambda *arguments: self.errors.get(name) or answer(self, *arguments) or 0

    def answer_cuInit(self, flags: int) -> None:
        assert flags == 0

    def answer_cuDriverGetVersion(self, value: object) -> None:
        pointed(value).value = self.version

    def answer_cuDeviceGetCount(self, value: object) -> None:
        pointed(value).value = len(self.devices)

    def answer_cuDeviceGet(self, value: object, index: int) -> None:
        pointed(value).value = 100 + index  # a handle is not an index

    def answer_cuDeviceGetName(self, name: ctypes.Array[ctypes.c_char], size: int, device: ctypes.c_int) -> None:
        name.value = self.devices[device.value - 100].name.encode()[: size - 1]

    def answer_cuDeviceTotalMem_v2(self, value: object, device: ctypes.c_int) -> None:
        cast("ctypes.c_size_t", value._obj).value = self.devices[device.value - 100].memory_bytes  # type: ignore[attr-defined]

    def answer_cuDeviceGetAttribute(self, value: object, which: int, device: ctypes.c_int) -> None:
        pointed(value).value = self.devices[device.value - 100].compute_capability[{75: 0, 76: 1}[which]]


def pointed(value: object) -> ctypes.c_int:
    return cast("ctypes.c_int", value._obj)  # type: ignore[attr-defined]


def test_every_gpu_is_told_with_what_it_is() -> None:
    found = read_cuda(lambda: FakeDriver(H200, RTX_4090))
    assert found == Cuda((H200, RTX_4090), (13, 5), "")
    assert [device.sm for device in found.devices] == ["sm_90", "sm_89"]


def test_no_library_is_no_driver() -> None:
    def absent() -> FakeDriver:
        raise OSError("libcuda.so.1: cannot open shared object file")

    assert read_cuda(absent) == Cuda((), None, NO_DRIVER)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ({"cuInit": 100}, NO_GPU),
        ({"cuInit": 803}, "the NVIDIA driver answers error 803 to cuInit"),
        ({"cuDeviceGetName": 201}, "the NVIDIA driver answers error 201 to cuDeviceGetName"),
    ],
)
def test_a_driver_that_fails_is_a_reason_and_no_device(errors: dict[str, int], reason: str) -> None:
    assert read_cuda(lambda: FakeDriver(H200, errors=errors)) == Cuda((), (13, 5), reason)


def test_a_driver_without_gpus_and_a_library_that_is_none() -> None:
    assert read_cuda(FakeDriver) == Cuda((), (13, 5), NO_GPU)
    found = read_cuda(lambda: cast("FakeDriver", ctypes.CDLL(None)))
    assert not found.devices
    assert "is not a whole NVIDIA driver" in found.reason


def test_present_means_that_the_first_gpu_has_exactly_that_compute_capability() -> None:
    here = Cuda((H200,), (13, 5), "")
    assert absence((9, 0), "hopper", here) is None
    assert absence((8, 9), "rtx-ada", here) == "the GPU here is NVIDIA H200 (sm_90), rtx-ada is sm_89"
    both = Cuda((H200, H200, RTX_4090), (13, 5), "")
    assert absence((9, 0), "hopper", both) is None
    ada_named = "the first GPU here is NVIDIA H200 (sm_90), rtx-ada is sm_89: choose by CUDA_VISIBLE_DEVICES"
    assert absence((8, 9), "rtx-ada", both) == ada_named, "every runtime would take the first"
    both_named = "the GPUs here are NVIDIA H200 (sm_90), NVIDIA GeForce RTX 4090 (sm_89), t4 is sm_75"
    assert absence((7, 5), "t4", both) == both_named


def test_a_target_with_a_compute_capability_asks_the_driver() -> None:
    here = Cuda((RTX_4090,), (13, 5), "")
    (ada, *_), (orin,) = load_targets("rtx-ada"), load_targets("jetson-orin")
    assert is_present(ada, HOST, here) is None
    assert stands_in(ada) is None
    assert is_present(orin, HOST, here) == "the GPU here is NVIDIA GeForce RTX 4090 (sm_89), jetson-orin is sm_87"
    assert is_present(ada, HOST, Cuda((), None, NO_DRIVER)) == NO_DRIVER


def test_this_machine_is_asked_once_and_never_fails() -> None:
    found = this_cuda()
    assert found is this_cuda()
    assert bool(found.devices) != bool(found.reason)
