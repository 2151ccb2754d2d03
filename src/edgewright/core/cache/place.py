"""Where the cache is, and how large it may grow: the user's environment says so."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edgewright.core.cache.store import Store
from edgewright.core.errors import UsageError
from edgewright.core.units import parse_bytes

FOLDER, SIZE, XDG = "EDGEWRIGHT_CACHE_DIR", "EDGEWRIGHT_CACHE_SIZE", "XDG_CACHE_HOME"
DEFAULT_BYTES = 5 * 10**9
_OWN = "store"
"""Of the folder's other tenants nothing is counted, shown or deleted."""


@dataclass(frozen=True)
class NoCache:
    """There is none, and why."""

    reason: str
    wished: bool = False
    """Whether the user wants none."""


def cache_folder() -> Path | NoCache:
    """``EDGEWRIGHT_CACHE_DIR``, else ``edgewright`` in ``XDG_CACHE_HOME``, else in ``~/.cache``; nothing is made."""
    if named := os.environ.get(FOLDER):
        return Path(named).absolute()
    if base := os.environ.get(XDG):
        return Path(base).absolute() / "edgewright"
    try:
        return Path.home() / ".cache" / "edgewright"
    except RuntimeError:
        return NoCache(f"there is no home folder, and neither {FOLDER} nor {XDG} is set")


def size_limit() -> int:
    """``EDGEWRIGHT_CACHE_SIZE`` in bytes, 5 GB by default; 0 keeps nothing.

    Raises:
        UsageError: it is no size.
    """
    text = os.environ.get(SIZE, "").strip()
    if not text:
        return DEFAULT_BYTES
    if text == "0":
        return 0
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise UsageError(f"{SIZE}: {error}", "Set it to a size such as 5GB, or to 0 for no cache.") from error


def open_store() -> Store | NoCache:
    """The user's cache, its folder made where it is not there yet; or why there is none.

    What lies in it may run as machine code, so a folder that another user owns or may write to is not used.

    Raises:
        UsageError: ``EDGEWRIGHT_CACHE_SIZE`` is no size.
    """
    limit, folder = size_limit(), cache_folder()
    if limit == 0:
        return NoCache(f"{SIZE} is 0", wished=True)
    if isinstance(folder, NoCache):
        return folder
    own = folder / _OWN
    try:
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        state = own.stat()
    except OSError as error:
        return NoCache(f"{own} cannot be made: {error.strerror}")
    if state.st_uid != os.geteuid():
        return NoCache(f"{own} belongs to another user")
    if state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return NoCache(f"{own} can be written to by others: chmod 700 {own}")
    if not os.access(own, os.R_OK | os.W_OK | os.X_OK):
        return NoCache(f"{own} cannot be written to")
    return Store(own, limit)
