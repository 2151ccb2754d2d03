"""What every result depends on beside the user's own words: this program, the tools it uses, the machine."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import Distribution, entry_points
from pathlib import Path

import edgewright
from edgewright.benchmarks.harness._subject import SCRUBBED
from edgewright.benchmarks.harness.machine import this_machine
from edgewright.core.cache import Part

_TOOLS = (
    *("numpy", "ml-dtypes", "onnx", "openvino", "torch", "tensorrt", "nvidia", "cuda", "protobuf", "pillow", "scipy"),
    *("scikit-learn", "pycocotools", "optuna", "triton", "sympy"),
)
"""What a distribution's name begins with that can change a result."""
_VARIABLES = (
    *SCRUBBED,
    *("LD_PRELOAD", "LD_LIBRARY_PATH", "GLIBC_TUNABLES", "MALLOC_", "SOURCE_DATE_EPOCH", "CUDA_", "NVIDIA_", "TORCH"),
    *("PYTHONPATH", "PYTHONHASHSEED", "CXX", "EDGEWRIGHT_"),
)
_TELLING_NOTHING = (
    *("EDGEWRIGHT_CACHE_", "EDGEWRIGHT_KEY", "EDGEWRIGHT_LOG_", "EDGEWRIGHT_MODELS", "EDGEWRIGHT_OFFLINE"),
    *("EDGEWRIGHT_MACHINE", "EDGEWRIGHT_REQUIRE_KEY", "ORT_DISABLE_TELEMETRY"),
)
_NOT_INSTALLED = frozenset({"cases", "chain", "micro", "peers", "records", "results", "studies"})
_GROUPS = ("edgewright.passes", "edgewright.backends", "edgewright.metrics", "edgewright.targets")
_MACHINE_ID = Path("/etc/machine-id")
NAME_VARIABLE = "EDGEWRIGHT_MACHINE"
"""Machines of the same name, processor and memory share what was measured on one of them."""


def surroundings() -> dict[str, Part]:
    """The named parts of a key that this program, its tools, the machine and the environment make."""
    return {
        "edgewright": {"version": edgewright.__version__, "sources": sources_digest()},
        "tools": tools(),
        "plug-ins": plug_ins(),
        "machine": machine(),
        "environment": environment(),
    }


@cache
def sources_digest() -> str:
    """SHA-256 in hex over every file of the installed package: any change of it is another program."""
    hasher = hashlib.sha256()
    root = Path(edgewright.__file__).parent
    for path in sorted(_sources(root)):
        hasher.update(f"{path.relative_to(root).as_posix()}\0".encode())
        hasher.update(path.read_bytes())
        hasher.update(b"\0")
    return hasher.hexdigest()


def _sources(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root, followlinks=True):
        outside = _NOT_INSTALLED if Path(folder).name == "benchmarks" else frozenset[str]()
        names[:] = [name for name in names if name != "__pycache__" and name not in outside]
        yield from (Path(folder) / name for name in files if not name.endswith((".pyc", ".tmp")))


def tools() -> dict[str, Part]:
    """Version by name of Python and of each installed distribution that can change a result."""
    found: dict[str, Part] = {"python": f"{platform.python_implementation()} {platform.python_version()}"}
    for folder in sys.path:
        try:
            names = [path.name for path in Path(folder or ".").iterdir()]
        except OSError:
            continue  # a zip file, or a folder that is not there
        for entry in names:
            stem, _, suffix = entry.rpartition(".")
            name, _, version = stem.partition("-")
            plain = name.lower().replace("_", "-")
            if suffix == "dist-info" and plain.startswith(_TOOLS):
                found.setdefault(plain, version)  # the first on the path is the one that is imported
    return found


@cache
def plug_ins() -> Mapping[str, Part]:
    """What third parties add: name -> the distribution and its version."""
    found: dict[str, Part] = {}
    points = entry_points()
    for group in _GROUPS:
        for point in points.select(group=group):
            owner = point.dist
            found[f"{group}: {point.name}"] = "unknown" if owner is None else f"{owner.name} {owner.version}"
    return found


def unversioned_plug_ins() -> list[str]:
    """Plug-ins whose code can change without their version: installed to be edited."""
    points = entry_points()
    return [
        point.name
        for group in _GROUPS
        for point in points.select(group=group)
        if point.dist is None or _editable(point.dist)
    ]


def _editable(owner: Distribution) -> bool:
    try:
        found = json.loads(owner.read_text("direct_url.json") or "{}")
    except ValueError:
        return True
    return bool(found.get("dir_info", {}).get("editable"))


def machine() -> dict[str, Part]:
    """What makes a figure measured here this machine's own; its name is only digested."""
    found = this_machine()
    return {
        "itself": _identity(),
        "cpu": found.cpu,
        "cores": found.cores,
        "isa": " ".join(found.isa),
        "memory": found.memory_bytes,
        "governor": found.governor,
        "system": found.os,
        "virtual": found.virtual,
        "gpu": found.gpu,
        "driver": found.driver,
    }


def _identity() -> str:
    """What the user calls this machine, where several are as good as one; else what the system calls it."""
    if name := os.environ.get(NAME_VARIABLE):
        return hashlib.sha256(os.fsencode(name)).hexdigest()
    try:
        return hashlib.sha256(_MACHINE_ID.read_bytes()).hexdigest()
    except OSError:
        return ""


def environment() -> dict[str, Part]:
    """The variables that change what engines and this program do; values are digested."""
    names = sorted(name for name in os.environ if name.startswith(_VARIABLES) and not name.startswith(_TELLING_NOTHING))
    return {name: hashlib.sha256(os.fsencode(os.environ[name])).hexdigest() for name in names}
