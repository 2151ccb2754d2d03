"""How an AOTInductor package is opened and run, and the exported program that stands in for one on a CPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from edgewright.backends import _aotinductor_host as host
from edgewright.backends._aotinductor_precision import flat, gist
from edgewright.backends._base import Artifact, LayerTime
from edgewright.backends._wire import dtype_named
from edgewright.core.errors import EngineError, TargetAbsentError, UnavailableError
from edgewright.core.tensors import Array, Feeds, Outputs, TensorSpec

if TYPE_CHECKING:
    import torch

STAND_IN = "cpu-eager"
"""The device of an artifact whose program this CPU runs operator by operator, in place of a package."""

_FOREIGN = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
"""Types numpy does not have -> the one of the same size that torch takes from numpy."""

_PROFILED_RUNS = 3
"""The last is reported: the first allocates."""


class _Runner(Protocol):
    def __call__(self, tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]: ...


class Engine:
    """A loaded package (or program); arrays in, arrays out.

    Raises:
        TargetAbsentError: it is for a GPU, and torch sees none.
        EngineError: torch refuses it.
    """

    def __init__(self, artifact: Artifact, threads: int) -> None:
        import torch

        self._artifact, self._threads = artifact, threads
        self._device = "cuda" if artifact.properties.get("device") == "cuda" else "cpu"
        self.device_ns: int | None = None
        if self._device == "cuda":
            _require_gpu()
        torch.backends.cuda.matmul.allow_tf32 = False  # float32 is float32
        torch.backends.cudnn.allow_tf32 = False
        try:
            self._run: _Runner = _eager(artifact) if _is_stand_in(artifact) else _package(artifact)
        except Exception as error:
            made_with = artifact.versions.get("torch", "an unknown version")
            raise EngineError(
                f"torch {torch.__version__} refuses {artifact.entry}: {gist(error)}",
                f"It was made by torch {made_with}.",
            ) from error

    def run(self, feeds: Feeds) -> Outputs:
        """One inference; done when the results lie in this process's memory.

        Raises:
            EngineError: when the engine fails.
        """
        import torch

        try:
            with torch.inference_mode():
                fed = self._fed(feeds)
                results = self._timed(fed) if self._device == "cuda" else self._run(fed)
                pairs = zip(results, self._artifact.outputs, strict=True)
                return {spec.name: _array(result, spec) for result, spec in pairs}
        except Exception as error:
            raise EngineError(f"aotinductor failed: {gist(error)}") from error

    def layer_times(self, feeds: Feeds) -> list[LayerTime]:
        """What torch's profiler saw of one inference: kernels on a GPU, fused loops and operators on a CPU.

        The precision is the one the package was built in; a kernel may keep a part of its work in float32.

        Raises:
            UnavailableError: the profiler saw nothing.
        """
        import torch
        from torch.profiler import ProfilerActivity, profile

        for _ in range(_PROFILED_RUNS - 1):
            self.run(feeds)
        cuda, precision = self._device == "cuda", self._artifact.properties.get("precision", "")
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
        with torch.inference_mode():
            fed = self._fed(feeds)
            with profile(activities=activities) as seen:
                self._run(fed)
                if cuda:
                    torch.cuda.synchronize()
        kind = "CUDA" if cuda else "CPU"
        events = [event for event in seen.events() or () if event.device_type.name == kind]
        own = [event for event in events if cuda or event.cpu_parent is None]
        layers = [
            LayerTime(event.name, _kind(event.name), precision, float(event.time_range.elapsed_us()))
            for event in sorted(own, key=lambda event: event.time_range.start)
        ]
        if not layers:
            raise UnavailableError(
                "torch's profiler saw no kernel of the package", "Use another runtime's report, or the device's own."
            )
        return layers

    def _fed(self, feeds: Feeds) -> list[torch.Tensor]:
        import torch

        if torch.get_num_threads() != self._threads:  # it is one number for the whole process
            torch.set_num_threads(self._threads)
        return [_tensor(feeds[spec.name]).to(self._device) for spec in self._artifact.inputs]

    def _timed(self, fed: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        """On the current stream between two events; both its end and the time are waited for."""
        import torch

        torch.cuda.synchronize()
        start = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        start.record()
        results = self._run(fed)
        end.record()
        end.synchronize()
        self.device_ns = round(start.elapsed_time(end) * 1e6)
        return results


def _is_stand_in(artifact: Artifact) -> bool:
    return artifact.properties.get("device") == STAND_IN


def _require_gpu() -> None:
    import torch

    if not torch.cuda.is_available():
        reason = "no usable GPU" if host.torch_has_cuda() else "and is a build without CUDA"
        raise TargetAbsentError(
            f"torch {torch.__version__} sees no GPU here ({reason})",
            "Run it on the machine it was made for, with a torch built for CUDA and NVIDIA's driver.",
        )


def _package(artifact: Artifact) -> _Runner:
    import torch

    if not artifact.path.is_file():
        raise FileNotFoundError(artifact.entry)
    # What torch._inductor.aoti_load_package ends in; that loads the whole compiler first, which takes two seconds.
    loader = torch._C._aoti.AOTIModelPackageLoader(str(artifact.path), "model", False, 1, -1)  # noqa: SLF001

    def run(tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        return loader.boxed_run(tensors)

    return run


def _eager(artifact: Artifact) -> _Runner:
    import torch

    module, _ = flat(torch.export.load(str(artifact.path)), artifact.properties.get("precision", "fp32"))

    def run(tensors: list[torch.Tensor]) -> Sequence[torch.Tensor]:
        results: Sequence[torch.Tensor] = module(*tensors)
        return results

    return run


def _tensor(array: Array) -> torch.Tensor:
    import torch

    name = array.dtype.name
    plain = np.ascontiguousarray(array)
    if not plain.flags.writeable:  # torch warns of what it cannot write to, though nothing will
        plain = plain.copy()
    if name in _FOREIGN:
        dtype: torch.dtype = getattr(torch, name)
        return torch.from_numpy(plain.view(_FOREIGN[name])).view(dtype)
    return torch.from_numpy(plain).reshape(array.shape)


def _array(tensor: torch.Tensor, spec: TensorSpec) -> Array:
    """A copy: the package may write into the same memory at its next run, or hand out a weight."""
    import torch

    found = tensor.detach().cpu()
    if spec.dtype in _FOREIGN:
        raw: Array = found.contiguous().view(getattr(torch, _FOREIGN[spec.dtype])).numpy().copy()
        return raw.view(dtype_named(spec.dtype))
    array: Array = found.numpy().copy()
    return array


def _kind(name: str) -> str:
    """What a kernel does, from its name.

    >>> _kind("triton_poi_fused_relu_3"), _kind("aoti_torch_cpu__linear_pointwise"), _kind("aten::add")
    ('relu', 'linear_pointwise', 'add')
    """
    if "fused_" in name:
        name = name.partition("fused_")[2].rstrip("0123456789")
    return re.sub(r"^(aoti_torch_(cpu|cuda)_|\w+::)", "", name).strip("_") or name
