"""A history as one SQLite file.

The rollback journal rather than WAL: writers are few and their transactions are one row, the history stays a single
file that may be copied, cached by a CI or mounted read-only, and network file systems take it. Writers wait for each
other (busy timeout); a process that is killed leaves a journal that the next one rolls back.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Literal
from urllib.parse import quote

from edgewright.benchmarks.history.entry import SCHEMA, Entry, Key, entry_from_json
from edgewright.benchmarks.history.store import History
from edgewright.core import jsontext
from edgewright.core.errors import BadInputError, CannotWriteError, EdgewrightError, IOFailureError, RetryableError
from edgewright.core.files import open_regular

_VERSION = 1
_BUSY_S = 30.0
_TABLE = """
CREATE TABLE IF NOT EXISTS entries (
    digest TEXT PRIMARY KEY,
    created TEXT NOT NULL,
    key TEXT NOT NULL,
    entry TEXT NOT NULL
)
"""
_INDEX = "CREATE INDEX IF NOT EXISTS entries_by_key ON entries (key, created)"
_SELECT = "SELECT digest, entry FROM entries WHERE :key IS NULL OR key = :key ORDER BY created, digest"


class SqliteHistory(History):
    """A table ``entries`` of digest, time, key and the same JSON document that a folder has in a file."""

    def entries(self, key: Key | None = None) -> Sequence[Entry]:
        """What is kept, read in one transaction."""
        try:
            rows = self._rows("ro", key)
        except CannotWriteError as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            # A writer was killed in its transaction, and only a connection that may write can roll that back.
            rows = self._rows("rw", key)
        # A column takes any type in SQLite.
        return [entry_from_json(str(entry), f"{self.path}, entry {digest!s:.16}") for digest, entry in rows]

    def _rows(self, mode: Literal["ro", "rw"], key: Key | None) -> list[tuple[object, object]]:
        """Digest and document of each entry."""
        with self._opened(mode) as database:
            if _version(database) == 0:
                return []
            return database.execute(_SELECT, {"key": None if key is None else _text(key)}).fetchall()

    def _store(self, entry: Entry) -> bool:
        row = (entry.digest, entry.created, _text(entry.key), entry.to_json().decode())
        with self._opened("rwc") as database:
            if _version(database) == 0:
                database.execute(_TABLE)
                database.execute(_INDEX)
                database.execute(f"PRAGMA user_version = {_VERSION}")
            done = database.execute("INSERT OR IGNORE INTO entries VALUES (?, ?, ?, ?)", row)
            return done.rowcount == 1

    @contextlib.contextmanager
    def _opened(self, mode: Literal["ro", "rw", "rwc"]) -> Iterator[sqlite3.Connection]:
        """One transaction, which ends with the block: committed when the block ends well; ``rwc`` makes the file."""
        if self.path.exists():
            open_regular(self.path, "the history").close()
        elif mode != "rwc":
            raise self._absent()
        address = f"file:{quote(str(self.path.resolve()))}?mode={mode}"
        try:
            with contextlib.closing(sqlite3.connect(address, _BUSY_S, isolation_level=None, uri=True)) as database:
                # A foreign file's views and triggers must not call functions.
                database.execute("PRAGMA trusted_schema = OFF")
                database.execute("BEGIN IMMEDIATE" if mode == "rwc" else "BEGIN")
                self._require_ours(database)
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _require_ours(self, database: sqlite3.Connection) -> None:
        found = _version(database)
        foreign = found == 0 and database.execute("SELECT count(*) FROM sqlite_master").fetchone() != (0,)
        if foreign or found not in (0, _VERSION):
            what = f"of version {found}" if found else "of another kind"
            raise BadInputError(
                f"{self.path} is a database {what}, not of {SCHEMA}", "Give another file, or update edgewright."
            )

    def _explained(self, error: sqlite3.Error) -> EdgewrightError:
        # The low byte is the primary result code (https://sqlite.org/rescode.html).
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return RetryableError(f"{self.path} was held by another process for {_BUSY_S:g} s", "Try again.")
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            return CannotWriteError(f"cannot open {self.path}: {error}", "Choose a file you may write to.")
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            return IOFailureError(f"{self.path} failed: {error}", "Free some space and run the command again.")
        return BadInputError(
            f"{self.path} is damaged or no SQLite file: {error}", "Move it away, or restore it from a copy."
        )


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _text(key: Key) -> str:
    """What the column holds; rows from before entries had names say nothing of one."""
    told = asdict(key)
    if not key.name:
        del told["name"]
    return jsontext.canonical(told).decode().strip()
