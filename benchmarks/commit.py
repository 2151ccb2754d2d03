"""Which commit of the user's own repository a measurement belongs to: its id and its time, nothing that names anyone.

A branch can carry a person's name, a remote a host's, so neither is asked for.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 10.0
_GIT = ("git", "-c", "core.fsmonitor=false")
"""No program that a repository's own settings name is started."""


@dataclass(frozen=True)
class Commit:
    """A commit that was checked out when something was measured."""

    id: str
    time: str
    """When it was committed, ISO 8601."""
    dirty: bool
    """Whether files that it knows were changed since."""


def commit_of(folder: Path) -> Commit | None:
    """The commit checked out in the repository that ``folder`` lies in; None outside of one and where git is not."""
    head = _answer(folder, "log", "-1", "--no-show-signature", "--format=%H %cI")
    if head is None or len(parts := head.split()) != 2:
        return None
    changed = _answer(folder, "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    return Commit(parts[0], parts[1], dirty=changed != "")


def _answer(folder: Path, *words: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    command = [*_GIT, "-C", str(folder), *words]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
