"""Whether a file can be written, asked before the long work whose result it is to hold."""

from __future__ import annotations

import os
from pathlib import Path

from edgewright.core.errors import CannotWriteError


def require_writable(path: Path | None, remedy: str = "") -> None:
    """Lets through a file that can be written, and None; ``remedy`` is for one that nobody named.

    Raises:
        CannotWriteError: it is a folder, or its folder is missing or closed.
    """
    if path is None:
        return
    if path.is_dir():
        raise CannotWriteError(f"{path} is a folder", "Give a file.")
    if not path.parent.is_dir():
        raise CannotWriteError(f"cannot write {path}: there is no folder {path.parent}", "Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise CannotWriteError(f"cannot write {path}: no permission to write there", remedy or "Give another file.")
