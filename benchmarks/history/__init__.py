"""The history of a model over commits: appended to by ``bench --history``, shown by ``report --history``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgewright.benchmarks.history.commit import commit_here
from edgewright.benchmarks.history.entry import Key, require_name
from edgewright.benchmarks.history.figures import FIGURES
from edgewright.benchmarks.history.series import HistorySeries, LeftOut, Series, series_of
from edgewright.benchmarks.history.steps import Step, detect_steps
from edgewright.benchmarks.history.store import History, Point, open_history
from edgewright.benchmarks.history.table import history_table
from edgewright.benchmarks.record import Record
from edgewright.core.errors import CannotWriteError

__all__ = [
    "FIGURES",
    "History",
    "HistorySeries",
    "Key",
    "LeftOut",
    "Point",
    "Series",
    "Step",
    "append_record_to_history",
    "check_history",
    "commit_here",
    "detect_steps",
    "history_table",
    "open_history",
    "series_of",
]


def check_history(path: Path, commit: str | None = None) -> None:
    """Lets through what :func:`append_record_to_history` would take, so that nothing is measured in vain.

    Raises:
        UsageError: a path that names no history, or a ``commit`` that is no name.
        BadInputError: what stands at the path is damaged or of another kind.
        CannotWriteError: there is no folder for it.
    """
    history = open_history(path)
    if commit is not None:
        require_name("commit", commit)
    if path.exists():
        history.keys()
    elif not path.absolute().parent.is_dir() and path.suffix:
        raise CannotWriteError(f"cannot make {path}: there is no folder {path.parent}", "Make the folder first.")


def append_record_to_history(
    path: Path,
    record: Record | Mapping[str, object],
    commit: str | None = None,
    branch: str | None = None,
    *,
    name: str = "",
) -> str:
    """Appends a record to the history at ``path``, which is made when absent; returns the commit it stands under.

    Args:
        path: as :func:`open_history`.
        record: a record, or its JSON object.
        commit: what the user says was measured; None is :func:`commit_here`.
        branch: kept beside it; never guessed, since names of branches hold names of people.
        name: of the bundle's file, without its suffix. It is part of the line: models are often called alike.

    Raises:
        UsageError, BadInputError, CannotWriteError, IOFailureError, RetryableError: as :meth:`History.append`.
    """
    history = open_history(path)
    found = commit_here(commit, ours=path)
    history.append(record.to_json() if isinstance(record, Record) else record, found, branch, name=name)
    return found
