"""The arms: one network, ready to run in one way. Preparing one may take minutes; running it is all that is timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from edgewright.backends import Session
from edgewright.benchmarks.gpu_check import engines
from edgewright.benchmarks.gpu_check.models import OUTPUT, network
from edgewright.benchmarks.gpu_check.plan import Boundary, CellPlan, precision_of, way_of
from edgewright.core.errors import UnavailableError
from edgewright.core.tensors import Array, Feeds

if TYPE_CHECKING:
    import torch

Call = Callable[..., "torch.Tensor"]


class Arm(ABC):
    """A network that can be run on each of its samples."""

    boundaries: tuple[Boundary, ...] = ("host",)
    versions: dict[str, str]
    remarks: tuple[str, ...] = ()

    @abstractmethod
    def run(self, boundary: Boundary, index: int) -> None:
        """One inference of sample ``index``, finished when it returns."""

    @abstractmethod
    def device_ns(self) -> int | None:
        """The last inference by the device's own events, without transfers; None where there are none."""

    @abstractmethod
    def answer(self, index: int) -> Array:
        """What it answers to sample ``index``."""

    def close(self) -> None:  # noqa: B027 - most arms let go when they are collected
        """Lets go of the engine."""


class TorchArm(Arm):
    """A callable of tensors, timed in both boundaries."""

    boundaries = ("host", "device")

    def __init__(self, call: Call, samples: Sequence[Feeds], device: str) -> None:
        import torch

        self.versions = {"torch": torch.__version__}
        self._call, self._device = call, torch.device(device)
        self._host = [tuple(torch.from_numpy(array) for array in feeds.values()) for feeds in samples]
        self._placed = [tuple(tensor.to(self._device) for tensor in feeds) for feeds in self._host]
        self._events: tuple[torch.cuda.Event, torch.cuda.Event] | None = None
        if self._device.type == "cuda":
            self._events = (_event(), _event())

    def run(self, boundary: Boundary, index: int) -> None:
        """As :class:`Arm` says."""
        import torch

        with torch.inference_mode():
            if boundary == "host":
                self._timed(tuple(tensor.to(self._device) for tensor in self._host[index])).cpu().numpy()
            else:
                self._timed(self._placed[index])
            if self._events is not None:
                torch.cuda.synchronize()

    def device_ns(self) -> int | None:
        """As :class:`Arm` says."""
        return None if self._events is None else round(self._events[0].elapsed_time(self._events[1]) * 1e6)

    def answer(self, index: int) -> Array:
        """As :class:`Arm` says."""
        import torch

        with torch.inference_mode():
            return np.array(self._call(*self._placed[index]).cpu().numpy())

    def _timed(self, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if self._events is None:
            return self._call(*inputs)
        self._events[0].record()
        answer = self._call(*inputs)
        self._events[1].record()
        return answer


class SessionArm(Arm):
    """A session of one of our backends: NumPy arrays in, NumPy arrays out."""

    def __init__(self, opened: engines.Opened, samples: Sequence[Feeds]) -> None:
        self._session: Session = opened.session
        self._samples = samples
        self.versions, self.remarks = dict(opened.versions), opened.remarks

    def run(self, boundary: Boundary, index: int) -> None:
        """As :class:`Arm` says."""
        assert boundary == "host"
        self._session.run(self._samples[index])

    def device_ns(self) -> int | None:
        """As :class:`Arm` says."""
        return self._session.device_ns

    def answer(self, index: int) -> Array:
        """As :class:`Arm` says."""
        return np.array(self._session.run(self._samples[index])[OUTPUT])

    def close(self) -> None:
        """As :class:`Arm` says."""
        self._session.close()


class PackageArm(TorchArm):
    """An AOTInductor package: through our backend in the host boundary, as torch loads it in the device one."""

    def __init__(self, package: Call, opened: engines.Opened, samples: Sequence[Feeds], device: str) -> None:
        super().__init__(package, samples, device)
        self._product = SessionArm(opened, samples)
        self._through_product = True
        self.remarks = opened.remarks

    def run(self, boundary: Boundary, index: int) -> None:
        """As :class:`Arm` says."""
        self._through_product = boundary == "host"
        if self._through_product:
            self._product.run(boundary, index)
        else:
            super().run(boundary, index)

    def device_ns(self) -> int | None:
        """As :class:`Arm` says."""
        return self._product.device_ns() if self._through_product else super().device_ns()

    def answer(self, index: int) -> Array:
        """As :class:`Arm` says."""
        return self._product.answer(index)

    def close(self) -> None:
        """As :class:`Arm` says."""
        self._product.close()


def prepare(name: str, plan: CellPlan, samples: Sequence[Feeds]) -> Arm:
    """Builds an arm.

    Raises:
        UnavailableError: what it needs is not on this machine; the message says what.
        Exception: whatever the engine raises when it fails.
    """
    way, precision = way_of(name), precision_of(name)
    if way == "aotinductor":
        return _aotinductor(precision, plan, samples)
    if way in engines.OPENERS:
        return SessionArm(engines.OPENERS[way](plan, precision), samples)
    return TorchArm(_torch_call(way, precision, plan, samples), samples, plan.device)


def _torch_call(way: str, precision: str, plan: CellPlan, samples: Sequence[Feeds]) -> Call:
    import torch

    net = network(plan.network, precision, plan.seed).to(plan.device)
    if way == "eager":
        return cast("Call", net)
    if way == "compile-graphs" and plan.device == "cpu":
        raise UnavailableError("CUDA graphs need CUDA", "Run it with --device cuda.")
    call = torch.compile(net) if way == "compile" else torch.compile(net, mode="reduce-overhead")
    with torch.inference_mode():  # compiles now, so that what it takes is building and not running
        call(*(torch.from_numpy(array).to(plan.device) for array in samples[0].values()))
    return cast("Call", call)


def _aotinductor(precision: str, plan: CellPlan, samples: Sequence[Feeds]) -> Arm:
    """By our backend, since that is what users get; by torch alone where ours cannot, with the reason as a remark."""
    import torch

    folder = Path(plan.work) / f"aotinductor-{precision}"
    try:
        artifact, opened = engines.aotinductor(plan, _program("fp32", plan, samples), precision, folder)
    except UnavailableError as error:
        package = folder.with_suffix(".pt2")
        torch._inductor.aoti_compile_and_package(_program(precision, plan, samples), package_path=str(package))
        arm = TorchArm(_loaded(package), samples, plan.device)
        arm.remarks = (f"made by torch alone: {error.problem}",)
        return arm
    return PackageArm(_flat(artifact.path), opened, samples, plan.device)


def _program(precision: str, plan: CellPlan, samples: Sequence[Feeds]) -> torch.export.ExportedProgram:
    import torch

    net = network(plan.network, precision, plan.seed).to(plan.device)
    with torch.no_grad():
        return torch.export.export(net, tuple(torch.from_numpy(a).to(plan.device) for a in samples[0].values()))


def _loaded(package: Path) -> Call:
    import torch

    return cast("Call", torch._inductor.aoti_load_package(str(package)))


def _flat(package: Path) -> Call:
    """A package of our backend, which takes and gives lists of tensors."""
    import torch

    boxed_run = torch._inductor.aoti_load_package(str(package)).loader.boxed_run
    return lambda *tensors: boxed_run(list(tensors))[0]


def _event() -> torch.cuda.Event:
    import torch

    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
