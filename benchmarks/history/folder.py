"""A history as a folder: one JSON file a record, so that branches of a repository merge without conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgewright.benchmarks.history.entry import Entry, Key, entry_from_json
from edgewright.benchmarks.history.store import History
from edgewright.core.errors import CannotWriteError, IOFailureError
from edgewright.core.files import open_regular, write_atomically


class FolderHistory(History):
    """``20260131T120000Z-<first 16 digits of the digest>.json``; other files in the folder are not looked at."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._read: dict[str, Entry] = {}

    def entries(self, key: Key | None = None) -> Sequence[Entry]:
        """What is kept; each file is read once."""
        if not self.path.is_dir():
            raise self._absent()
        try:
            paths = sorted(path for path in self.path.iterdir() if _is_entry(path.name))
        except OSError as error:
            raise IOFailureError(f"cannot read {self.path}: {error.strerror}", "Check its permissions.") from error
        found = [self._entry(path) for path in paths]
        return [one for one in found if key is None or one.key == key]

    def _store(self, entry: Entry) -> bool:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotWriteError(
                f"cannot make the folder {self.path}: {error.strerror}", "Choose a folder you may write to."
            ) from error
        path = self.path / _name(entry)
        if path.exists():
            return False
        write_atomically(path, entry.to_json())
        return True

    def _entry(self, path: Path) -> Entry:
        if path.name not in self._read:
            with open_regular(path, "the history's file") as file:
                self._read[path.name] = entry_from_json(file.read(), str(path))
        return self._read[path.name]


def _name(entry: Entry) -> str:
    return f"{entry.created.replace('-', '').replace(':', '')}-{entry.digest[:16]}.json"


def _is_entry(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")
