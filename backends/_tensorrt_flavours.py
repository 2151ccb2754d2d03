"""The packages that bring TensorRT: which are installed here, and which of them can build for a target.

Two of them are never imported into one process: both register the same C++ types with Python. What must be known of
one is asked in a child process, once.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
from dataclasses import dataclass
from types import ModuleType
from typing import cast

from edgewright.backends._isolation import call_isolated
from edgewright.backends._limits import Limits
from edgewright.core.errors import EdgewrightError, UsageError
from edgewright.targets.cuda import CudaDevice, this_cuda
from edgewright.targets.schema import Target

NAMES = ("tensorrt", "tensorrt_rtx")
"""What can be imported; ``tensorrt`` is 10 or 11."""

AHEAD_OF_TIME = frozenset({"tensorrt_rtx"})
"""Those that build for a GPU that is not in the machine; the others build for the one that is."""

TITLES = {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT-RTX"}

_DEFAULT = ("tensorrt_rtx", "tensorrt")
_LIMITS = Limits(deadline_s=60.0)
_REQUIREMENT = re.compile(r"\s*(?P<name>[\w-]+)\s*(?P<bounds>(?:(?:>=|<=|==|!=|<|>)\s*[\d.]+\s*,?\s*)*)\Z")
_BOUND = re.compile(r"(>=|<=|==|!=|<|>)\s*([\d.]+)")


@dataclass(frozen=True)
class FlavourFound:
    """One package: its version here, or why there is none and what to type."""

    name: str
    version: str | None
    reason: str = ""
    remedy: str = ""
    builds_for: tuple[tuple[int, int], ...] = ()
    """Compute capabilities it builds for without having such a GPU."""


def import_flavour(name: str) -> ModuleType:
    """The package itself; for child processes and for a process that opens engines of this one flavour.

    Raises:
        ImportError, OSError: when it is not installed, or a library it needs is missing.
    """
    if name not in NAMES:
        raise ImportError(f"{name} is not a flavour of TensorRT")
    return importlib.import_module(name)


@functools.cache
def flavours() -> tuple[FlavourFound, ...]:
    """Every flavour, installed or not, in the order of :data:`NAMES`; asked once per process."""
    return tuple(_look_for(name) for name in NAMES)


def gpus() -> tuple[CudaDevice, ...]:
    """The NVIDIA GPUs of this machine as their driver lists them; () without a driver."""
    return this_cuda().devices


def flavour(name: str) -> FlavourFound:
    """What is known of one flavour, known by name or not."""
    for found in flavours():
        if found.name == name:
            return found
    return FlavourFound(name, None, f"{name} is no flavour of TensorRT that edgewright knows", remedy(name))


def builder_for(target: Target) -> FlavourFound | None:
    """The first of the target's flavours that is installed and can build for it here; None when none can."""
    capability = target.compute_capability
    if capability is None:
        return None
    for requirement in wanted(target):
        found = flavour(requirement_name(requirement))
        if found.version is None or not allows(requirement, found.version):
            continue
        # What builds for the GPU in the machine builds for CUDA's first, whatever others there are.
        if capability in found.builds_for or any(gpu.compute_capability == capability for gpu in gpus()[:1]):
            return found
    return None


def wanted(target: Target) -> tuple[str, ...]:
    """The target's requirements, preferred first; any flavour where it names none."""
    return target.flavours or _DEFAULT


def requirement_name(requirement: str) -> str:
    """The package's name in ``tensorrt>=10,<11``.

    Raises:
        UsageError: when it is not a requirement.
    """
    return _parsed(requirement)["name"].replace("-", "_")


def allows(requirement: str, version: str) -> bool:
    """Whether a version satisfies a requirement; numbers are compared as far as the requirement writes them.

    >>> allows("tensorrt>=10,<11", "10.13.3.9"), allows("tensorrt>=10,<11", "11.0.0.1"), allows("tensorrt_rtx", "1.7")
    (True, False, True)

    Raises:
        UsageError: when it is not a requirement.
    """
    for sign, text in _BOUND.findall(_parsed(requirement)["bounds"]):
        bound = numbers(text)
        have = (numbers(version) + (0,) * len(bound))[: len(bound)]
        holds = {
            ">=": have >= bound,
            "<=": have <= bound,
            "==": have == bound,
            "!=": have != bound,
            "<": have < bound,
            ">": have > bound,
        }
        if not holds[sign]:
            return False
    return True


def numbers(version: str) -> tuple[int, ...]:
    """The numbers a version starts with.

    >>> numbers("10.13.3.9.post1"), numbers("unknown")
    ((10, 13, 3, 9), ())
    """
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def remedy(requirement: str) -> str:
    """What to type to get a flavour."""
    if _parsed(requirement)["name"].replace("-", "_") == "tensorrt_rtx":
        return 'pip install "edgewright[tensorrt-rtx]"'
    return (
        f'pip install --extra-index-url https://pypi.nvidia.com "{requirement}"'
        " (on Jetson: sudo apt install python3-libnvinfer)"
    )


def capability_text(capability: tuple[int, int]) -> str:
    """``8.9``, as NVIDIA writes it."""
    return f"{capability[0]}.{capability[1]}"


def _parsed(requirement: str) -> re.Match[str]:
    found = _REQUIREMENT.match(requirement)
    if found is None:
        raise UsageError(
            f"'{requirement}' is not a requirement of a TensorRT package", "Write it like tensorrt>=10,<11."
        )
    return found


def _look_for(name: str) -> FlavourFound:
    try:
        absent = importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        absent = True
    if absent:
        return FlavourFound(name, None, f"{TITLES[name]} is not installed", remedy(name))
    try:
        told = call_isolated(
            "edgewright.backends._tensorrt_build:describe",
            {"flavour": name},
            engine=name,
            doing=f"importing {name}",
            limits=_LIMITS,
        )
    except EdgewrightError as error:
        return FlavourFound(name, None, f"{TITLES[name]} cannot be used: {error.problem}", remedy(name))
    assert isinstance(told, dict)
    pairs = cast("list[tuple[int, int]]", told["builds_for"])
    return FlavourFound(name, str(told["version"]), builds_for=tuple((major, minor) for major, minor in pairs))
