"""Where the headers and libraries of CUDA lie that a package for a GPU is compiled with, when no toolkit is installed.

PyPI's packages of torch's own dependencies have most of them, in places where torch's compiler does not look.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

_HOMES = ("CUDA_HOME", "CUDA_PATH")
_USUAL_HOME = Path("/usr/local/cuda")
_DRIVER = "libcuda.so.1"

HEADERS = "apt-get install nvidia-cuda-toolkit, or pip install nvidia-cuda-crt nvidia-cuda-cccl"
"""What brings the headers that torch's dependencies lack."""


def environment(scratch: Path, packages: Iterable[Path] | None = None) -> Mapping[str, str]:
    """Variables that lead the compiler to CUDA; those the user has set come first. To be set before torch is imported.

    Args:
        scratch: takes a link to the driver's library under the name that linkers ask for.
        packages: folders of ``nvidia`` and ``triton``; None for those of the installed ones.
    """
    roots = [*_installed("nvidia"), *_installed("triton")] if packages is None else list(packages)
    includes = [
        *(folder for root in roots for folder in sorted(root.glob("*/include"))),
        *(folder for root in roots for folder in sorted(root.glob("*/include/cccl"))),
        *(folder for root in roots for folder in sorted(root.glob("backends/nvidia/include"))),
    ]
    libraries = [folder for root in roots for folder in sorted(root.glob("*/lib"))]
    if (driver := _loaded_driver()) is not None:
        links = scratch / "lib"
        links.mkdir()
        (links / "libcuda.so").symlink_to(driver)
        libraries.append(links)
    found = {"CPATH": _joined("CPATH", includes), "LIBRARY_PATH": _joined("LIBRARY_PATH", libraries)}
    if not (any(name in os.environ for name in _HOMES) or shutil.which("nvcc") or _USUAL_HOME.is_dir()):
        homes = [folder.parent for folder in includes if (folder / "cuda_runtime_api.h").is_file()]
        if homes:
            found["CUDA_HOME"] = str(homes[0])
    return found


def _installed(package: str) -> list[Path]:
    spec = importlib.util.find_spec(package)
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []


def _joined(name: str, folders: Iterable[Path]) -> str:
    given = os.environ.get(name, "")
    return os.pathsep.join([*([given] if given else []), *map(str, folders)])


def _loaded_driver() -> Path | None:
    """The driver's library, by the name under which this process has it; None without one."""
    try:
        ctypes.CDLL(_DRIVER)
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    lines = (line.split(maxsplit=5) for line in maps.splitlines())
    return next((Path(line[5]) for line in lines if len(line) == 6 and "/libcuda.so" in line[5]), None)
