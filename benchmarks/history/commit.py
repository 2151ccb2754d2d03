"""Which commit a measurement is of: as stated, from git, from the CI's variables, or unknown."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

UNKNOWN = "unknown"
_CI_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA")
"""Of GitHub Actions and GitLab CI."""
_DEADLINE_S = 20
_OUR_OWN = ".record.json"


def commit_here(
    stated: str | None = None,
    *,
    folder: Path | None = None,
    ours: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """The commit: ``stated``, else git's HEAD, else the CI's variable, else ``unknown``.

    A working tree with changed tracked files has ``-dirty`` behind its HEAD; files of records and the history itself
    do not count, since measuring changes them.

    Args:
        stated: what the user says; nothing is asked then.
        folder: where git is asked; None is the current folder.
        ours: the history that will be appended to.
        environment: None is this process's own.
    """
    if stated is not None:
        return stated
    found = _head(folder or Path.cwd(), ours)
    if found is not None:
        return found
    variables = os.environ if environment is None else environment
    return next((variables[name] for name in _CI_VARIABLES if variables.get(name)), UNKNOWN)


def _head(folder: Path, ours: Path | None) -> str | None:
    answer = _git(folder, "rev-parse", "--show-toplevel", "HEAD")
    if answer is None or len(lines := answer.splitlines()) != 2:
        return None
    top, commit = Path(lines[0]), lines[1]
    changed = _git(folder, "status", "--porcelain", "-z", "--untracked-files=no", "--no-renames")
    if changed is None:
        return None
    names = [entry[3:] for entry in changed.split("\0") if entry]
    dirty = any(not _is_ours(top / name, ours) for name in names)
    return f"{commit}-dirty" if dirty else commit


def _is_ours(path: Path, ours: Path | None) -> bool:
    if path.name.endswith(_OUR_OWN):
        return True
    whole = None if ours is None else ours.resolve()
    return whole is not None and (whole == path.resolve() or whole in path.resolve().parents)


def _git(folder: Path, *arguments: str) -> str | None:
    """What git says; None without git, a repository or a commit."""
    # A repository's own configuration may name a program as its file system monitor: it is not started.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_DEADLINE_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "surrogateescape")
