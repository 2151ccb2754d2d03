"""Whether an engine can be opened on this machine, judged before anything of it is deserialised.

An engine holds machine code for one kind of GPU and belongs to one release. TensorRT's runs under the version it was
built with unless it was built to be version-compatible, which ours are not; TensorRT-RTX's under the very release.
None of this finds an engine that was tampered with: who opens one trusts its maker (the backend's ``native_code``).
Sources: https://docs.nvidia.com/deeplearning/tensorrt/11.1.0/inference-library/engine-compatibility.html and
https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/inference-library/engine-compatibility.html.
"""

from __future__ import annotations

import platform
import sys
from typing import cast

from edgewright.backends._base import Artifact
from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.backends._tensorrt_flavours import AHEAD_OF_TIME, TITLES, flavour, gpus, numbers, remedy
from edgewright.core.errors import EdgewrightError, EngineError, TargetAbsentError, UnavailableError

_LIMITS = Limits(deadline_s=60.0)
_BUILD_AGAIN = "Compile the model again here, or run edgewright finish on the bundle with the typed model."
_CAUSES = {
    "VERSION_MISMATCH": "it was built with another release",
    "UNSUPPORTED_CC": "it was built for another kind of GPU",
    "OLD_CUDA_DRIVER": "the NVIDIA driver here is too old for it",
    "OLD_CUDA_RUNTIME": "the CUDA runtime here is too old for it",
    "INSUFFICIENT_GPU_MEMORY": "the GPU has too little memory for it",
    "MALFORMED_ENGINE": "the file is damaged, or no engine",
    "CUDA_ERROR": "CUDA does not work here",
}


def problem(artifact: Artifact) -> EdgewrightError | None:
    """The error that opening it would end with, or None when it can be opened.

    :class:`TargetAbsentError` for hardware, :class:`UnavailableError` for a flavour that is not installed,
    :class:`EngineError` for anything else.
    """
    if artifact.pending:
        return UnavailableError(f"it has no engine yet: {artifact.pending}", "Run edgewright finish on the device.")
    name = artifact.properties.get("flavour", "")
    return _software(artifact, name) or _hardware(artifact) or _header(artifact, name)


def _software(artifact: Artifact, name: str) -> EdgewrightError | None:
    built = artifact.versions.get(name)
    if built is None:
        return EngineError("it does not say which TensorRT it was built with", _BUILD_AGAIN)
    found = flavour(name)
    if found.version is None:
        exact = f"{name}=={built}" if name not in AHEAD_OF_TIME else name
        return UnavailableError(f"it was built with {TITLES.get(name, name)} {built}: {found.reason}", remedy(exact))
    # A release of TensorRT-RTX is told by all of its numbers, which are what its engines' headers hold.
    depth = None if name in AHEAD_OF_TIME else 3
    if numbers(found.version)[:depth] != numbers(built)[:depth]:
        return EngineError(
            f"it was built with {TITLES[name]} {built}, here is {found.version}, and an engine runs under the version "
            "it was built with",
            f'Install that version ("{_package(name)}=={built}"), or compile again.',
        )
    system = artifact.properties.get("platform", "")
    here = f"{sys.platform}-{platform.machine()}"
    if system != here:
        return TargetAbsentError(f"it was built for {system or 'an unknown system'}, this is {here}", _BUILD_AGAIN)
    return None


def _hardware(artifact: Artifact) -> EdgewrightError | None:
    wanted = artifact.properties.get("compute_capability", "")
    here = gpus()
    if not here:
        return TargetAbsentError(
            f"it was built for a GPU of compute capability {wanted}, and there is no NVIDIA GPU here",
            "Run it on the machine it was made for, or check the driver with nvidia-smi.",
        )
    major, minor = here[0].compute_capability
    if wanted != f"{major}.{minor}":
        return TargetAbsentError(
            f"it was built for a GPU of compute capability {wanted}, the {here[0].name} here has {major}.{minor}",
            _BUILD_AGAIN,
        )
    return None


def _header(artifact: Artifact, name: str) -> EdgewrightError | None:
    """The flavour's own check, which reads the first bytes of the file alone."""
    try:
        causes = call_isolated(
            "edgewright.backends._tensorrt_build:validity",
            {"flavour": name, "engine": str(artifact.path.absolute())},
            engine=name,
            doing="checking the engine's header",
            limits=_LIMITS,
        )
    except EdgewrightError as error:
        return error
    told = "; ".join(_CAUSES.get(cause, cause) for cause in cast("list[str]", causes))
    return EngineError(f"{TITLES[name]} does not take {artifact.entry}: {told}", _BUILD_AGAIN) if told else None


def _package(name: str) -> str:
    return "tensorrt-rtx-cu13" if name == "tensorrt_rtx" else name
