"""The times of kernels, kept from one build to the next in a private file; never part of an artifact.

With them a second build takes a fraction of the first and chooses the same kernels.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Any


def cache_file(flavour: str, version: str, capability: tuple[int, int], driver: str) -> Path:
    """Where the times are kept that hold for one flavour and version, on one kind of GPU under one driver.

    In ``EDGEWRIGHT_CACHE_DIR``, else in ``edgewright`` under ``XDG_CACHE_HOME`` or ``~/.cache``.
    """
    named = os.environ.get("EDGEWRIGHT_CACHE_DIR")
    base = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgewright"
    key = f"{flavour}-{version}-sm{capability[0]}{capability[1]}-cuda{driver}"
    return base / "tensorrt" / (re.sub(r"[^\w.-]", "_", key) + ".timing")


def attach(config: Any, path: Path) -> Any:
    """Gives the builder what is kept in ``path``, or an empty cache; one that it refuses is dropped.

    Returns:
        The cache, to be given to :func:`keep` after the build.
    """
    kept = b""
    with contextlib.suppress(OSError):
        kept = path.read_bytes()
    if kept:
        with contextlib.suppress(Exception):  # a damaged one is refused in ways of each version's own
            cache = config.create_timing_cache(kept)
            if cache is not None and config.set_timing_cache(cache, False):
                return cache
        with contextlib.suppress(OSError):
            path.unlink()
    cache = config.create_timing_cache(b"")
    config.set_timing_cache(cache, False)
    return cache


def keep(cache: Any, path: Path) -> None:
    """Writes the times for the next build, readable by this user alone; a folder that cannot be written is left."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:  # made with mode 0600
            try:
                file.write(cache.serialize())
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise
