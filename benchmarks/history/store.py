"""Histories: where the records of many commits are kept, and the points of a line through them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgewright.benchmarks.history.entry import Entry, Key, entry_of
from edgewright.benchmarks.history.figures import Figure, at, figure_named
from edgewright.core.errors import UsageError

_SQLITE_SUFFIXES = (".sqlite", ".sqlite3", ".db")


@dataclass(frozen=True)
class Point:
    """One figure of one record."""

    commit: str
    created: str
    """UTC; when it was measured."""
    value: float
    low: float | None
    high: float | None
    """The 95 % interval; None where the record has none."""
    machine: str
    """Its identity: points of two machines are never joined."""
    basis: str = ""
    """What else must be equal for two points to be joined: an accuracy's metric and data, else the inputs."""
    higher_is_better: bool = False
    status: str = "ok"
    """``unsteady`` when the warm-up never settled."""


class History(ABC):
    """Records of many commits, appended to by any number of processes at once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, record: Mapping[str, object], commit: str, branch: str | None = None, *, name: str = "") -> bool:
        """Adds a record's JSON object, without its raw samples; False when this very record is there already.

        Args:
            record: as :meth:`edgewright.benchmarks.record.Record.to_json` gives it.
            commit: what was measured; up to 200 printable characters.
            branch: as ``commit``.
            name: of the bundle's file, without its suffix: bundles of two names are two lines.

        Raises:
            UsageError: a commit or branch of another form.
            BadInputError: not a record, or what stands at the path is no history; it is left alone.
            CannotWriteError, IOFailureError: the disk does not take it.
            RetryableError: another process held the history for too long.
        """
        return self._store(entry_of(record, commit, branch, name))

    def keys(self) -> Sequence[Key]:
        """The lines there are, sorted.

        Raises:
            UsageError: there is no history at the path.
            BadInputError: it is damaged, with what and where.
        """
        return sorted({entry.key for entry in self.entries()})

    def points(self, metric: str, key: Key) -> Sequence[Point]:
        """The points of one line, oldest measurement first; records with another status than ok or unsteady have none.

        Args:
            metric: a name of :data:`edgewright.benchmarks.history.FIGURES`.
            key: one of :meth:`keys`.

        Raises:
            UsageError: an unknown metric; or as :meth:`keys`.
            BadInputError: as :meth:`keys`.
        """
        figure = figure_named(metric)
        found = (point_of(entry, figure) for entry in self.entries(key))
        return [one for one in found if isinstance(one, Point)]

    @abstractmethod
    def entries(self, key: Key | None = None) -> Sequence[Entry]:
        """What is kept, of one line or of all, oldest measurement first; raises as :meth:`keys`."""

    @abstractmethod
    def _store(self, entry: Entry) -> bool: ...

    def _absent(self) -> UsageError:
        return UsageError(
            f"there is no history at {self.path}",
            f"Check the path, or begin one: edgewright bench --history {self.path}",
        )


def open_history(path: Path) -> History:
    """The history at ``path``, which :meth:`History.append` makes when it is absent.

    Args:
        path: a SQLite file when it ends in .sqlite, .sqlite3 or .db; a folder when it is one or has no suffix.

    Raises:
        UsageError: for any other path.
    """
    from edgewright.benchmarks.history.folder import FolderHistory
    from edgewright.benchmarks.history.sqlite import SqliteHistory

    if path.is_dir():
        return FolderHistory(path)
    if path.suffix.lower() in _SQLITE_SUFFIXES:
        return SqliteHistory(path)
    if path.suffix or path.exists():
        raise UsageError(
            f"{path} is neither a folder nor a SQLite file by its name",
            f"Give a folder, or a file that ends in {', '.join(_SQLITE_SUFFIXES)}.",
        )
    return FolderHistory(path)


def point_of(entry: Entry, figure: Figure) -> Point | str:
    """The figure's point of an entry, or why there is none."""
    status = str(at(entry.record, "status"))
    if status not in ("ok", "unsteady"):
        return f"the record is {status}"
    reading = figure.read(entry.record)
    if reading is None:
        return f"the record has no {figure.name}"
    inputs = at(entry.record, "protocol", "inputs_sha256")
    basis = f"inputs {inputs:.12}" if figure.of_inputs and isinstance(inputs, str) and inputs else ""
    higher = figure.higher_is_better
    if figure.name == "accuracy":
        metric, data = (at(entry.record, "accuracy", name) for name in ("metric", "dataset_sha256"))
        basis, higher = f"{metric} on data {data!s:.12}", at(entry.record, "accuracy", "higher_is_better") is not False
    return Point(entry.commit, entry.created, *reading, entry.machine, basis, higher, status)
