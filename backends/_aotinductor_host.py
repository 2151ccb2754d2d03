"""What this machine has for AOTInductor: torch, a compiler, instruction sets, GPUs. Asked without importing torch."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
from pathlib import Path

from edgewright.targets.cuda import this_cuda
from edgewright.targets.detect import is_present, this_host
from edgewright.targets.schema import Target

_X86_LEVELS = (
    (
        "x86-64-v4",
        "avx512f avx512bw avx512cd avx512dq avx512vl avx avx2 f16c fma bmi1 bmi2 movbe abm sse4_1 sse4_2 ssse3 popcnt",
    ),
    ("x86-64-v3", "avx avx2 f16c fma bmi1 bmi2 movbe abm sse4_1 sse4_2 ssse3 popcnt"),
    ("x86-64-v2", "sse4_1 sse4_2 ssse3 popcnt cx16"),
    ("x86-64", ""),
)
"""GCC's name of a micro-architecture level, and the instruction sets it is free to use, in Linux's names. Source: the
x86-64 psABI (https://gitlab.com/x86-psABIs/x86-64-ABI), GCC's documentation of -march."""

_IMPLIED = {"x86-64-v4": "avx512f", "x86-64-v3": "avx2", "x86-64-v2": "sse4_2"}
"""What a target that names this set has: no processor has it without the rest of its level."""


def torch_version() -> str | None:
    """Of the installed torch, such as ``2.13.0+cpu``; None without one."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_has_cuda() -> bool:
    """Whether the installed torch was built for CUDA, as its file of build facts says."""
    spec = importlib.util.find_spec("torch")
    for folder in spec.submodule_search_locations or () if spec else ():
        facts = Path(folder) / "version.py"
        if facts.is_file():
            return re.search(r"^cuda\b[^=]*=\s*['\"]", facts.read_text(), re.M) is not None
    return False


def release(version: str) -> str:
    """Major and minor number of a version: ``2.13``."""
    return ".".join(version.split(".")[:2])


def gpu() -> str:
    """The compute capability of the GPU that torch takes, the first one, such as ``sm_89``; empty without one."""
    devices = this_cuda().devices
    return devices[0].sm if devices else ""


def compiler() -> str | None:
    """The C++ compiler that packages are built with: ``$CXX``, or the first of g++ and clang++ that is installed."""
    for name in (os.environ.get("CXX", ""), "g++", "clang++"):
        if name and (found := shutil.which(name)):
            return found
    return None


def march(target: Target) -> str:
    """What the compiler is told it may use: the level of the target's own instruction sets, not this machine's."""
    if platform.machine() != "x86_64":
        return "armv8.2-a+dotprod" if "asimddp" in target.isa else "armv8-a"
    for level, flag in _IMPLIED.items():
        if flag in target.isa:
            return level
    return "x86-64"


def used_by(level: str) -> frozenset[str]:
    """Instruction sets that a package of this level needs, in Linux's names."""
    if level.startswith("arm"):
        return frozenset({"asimd"} | ({"asimddp"} if "dotprod" in level else set()))
    return frozenset(dict(_X86_LEVELS)[level].split())


def not_here(target: Target) -> str | None:
    """Why a package for ``target`` cannot be built on this machine, because it is another; None when it can."""
    return is_present(target)


def lacking(isa: str, machine: str, capability: str) -> str | None:
    """What of a package's hardware this machine lacks.

    Args:
        isa: instruction sets it uses, in Linux's names, separated by blanks.
        machine: the architecture it was built on, as ``uname -m`` says it.
        capability: of the GPU it was built for, such as ``sm_89``; empty for a CPU.
    """
    if machine != platform.machine():
        return f"it is machine code for {machine}, this machine is {platform.machine()}"
    if missing := sorted(set(isa.split()) - this_host().isa):
        return f"it uses {', '.join(missing)}, which this machine's CPU lacks"
    if capability and not gpu():
        return f"it is built for {capability}: {this_cuda().reason}"
    if capability and gpu() != capability:
        return f"it is built for {capability}, the GPU here is {gpu()}"
    return None
