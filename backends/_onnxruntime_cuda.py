"""ONNX Runtime's CUDA provider: what it is told, and whether it is really the one that runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from edgewright.backends._base import Artifact
from edgewright.core.errors import TargetAbsentError, UnavailableError
from edgewright.targets.cuda import this_cuda

PROVIDER: Final = "CUDAExecutionProvider"
INSTALL: Final = "pip uninstall onnxruntime; pip install onnxruntime-gpu"
"""Both packages bring the same module, so the one with CUDA stands in the place of the other."""

OPTIONS: Final[Mapping[str, str]] = {
    "cudnn_conv_algo_search": "EXHAUSTIVE",
    "cudnn_conv_use_max_workspace": "1",
    "do_copy_in_default_stream": "1",
    "use_tf32": "0",
}
"""The engine's defaults, written down, but for TF32: what the graph calls float32 is computed in float32. The search
tries cuDNN's algorithms at the first inference of each shape. Source:
https://onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html (configuration options)."""


def is_for(artifact: Artifact) -> bool:
    """Whether it runs on CUDA."""
    return artifact.properties.get("provider") == PROVIDER


def providers(artifact: Artifact) -> list[str | tuple[str, dict[str, str]]]:
    """What a session is given: CUDA with the artifact's own options, and the CPU for what it has no kernel for."""
    options = {name: artifact.properties.get(name, default) for name, default in OPTIONS.items()}
    return [(PROVIDER, options), "CPUExecutionProvider"]


def require_provider(available: Sequence[str]) -> None:
    """Checks that this build of the engine has the provider at all.

    Raises:
        UnavailableError: it has not.
    """
    if problem := missing(available):
        raise UnavailableError(problem, INSTALL)


def require_loaded(active: Sequence[str]) -> None:
    """Checks that a session runs on CUDA: where its libraries cannot be loaded, the engine goes on with the CPU alone.

    Raises:
        TargetAbsentError: there is no GPU here.
        UnavailableError: there is one, but the provider's libraries do not load.
    """
    if PROVIDER in active:
        return
    cuda = this_cuda()
    if cuda.reason:
        raise TargetAbsentError(
            f"onnxruntime cannot use CUDA here: {cuda.reason}",
            "Run it on a machine with an NVIDIA GPU and NVIDIA's driver.",
        )
    newest = "" if cuda.version is None else f" (the driver serves CUDA up to {cuda.version[0]}.{cuda.version[1]})"
    raise UnavailableError(
        f"onnxruntime has the CUDA provider but cannot load it on {cuda.devices[0].name}{newest}",
        'It needs the CUDA and cuDNN libraries it was built with: pip install "onnxruntime-gpu[cuda,cudnn]"',
    )


def missing(available: Sequence[str]) -> str | None:
    """What to say when a build of the engine lacks the provider; None when it has it."""
    if PROVIDER in available:
        return None
    return f"this onnxruntime has no CUDA provider, it has {', '.join(available) or 'none'}"
