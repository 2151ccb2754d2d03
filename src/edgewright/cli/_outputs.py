"""Whether a file can be written, asked before the long work whose result it is to hold."""

from __future__ import annotations

import os
from pathlib import Path

from edgewright.core.errors import CannotWriteError


def require_writable(path: Path | None) -> None:
    """Lets through a file that can be written, and None.

    Raises:
        CannotWriteError: it is a folder, or its folder is missing or closed.
    """
    if path is None:
        return
    if path.is_dir():
        raise CannotWriteError(f"{path} is a folder", "Give a file.")
    if not os.access(path.parent, os.W_OK):
        raise CannotWriteError(f"cannot write {path}: no such folder, or no permission", "Give another file.")
