"""The store's tables in one SQLite file that several processes of this machine may use at once. Needs no library.

The schema's version is SQLite's user_version.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from profilers.database import VERSION
from profilers.errors import StoreError

BUSY_TIMEOUT_S = 30.0
SCHEMA = (
    """CREATE TABLE layer_cost (
        device TEXT NOT NULL, runtime TEXT NOT NULL, runtime_version TEXT NOT NULL, threads INTEGER NOT NULL,
        layer TEXT NOT NULL, ms REAL NOT NULL, n INTEGER NOT NULL, measured_at TEXT NOT NULL,
        PRIMARY KEY (device, runtime, runtime_version, threads, layer)) WITHOUT ROWID""",
    """CREATE TABLE measurement (
        id INTEGER PRIMARY KEY, sha256 TEXT NOT NULL, device TEXT NOT NULL, runtime TEXT NOT NULL,
        threads INTEGER NOT NULL, measurement TEXT NOT NULL)""",
    "CREATE INDEX measurement_key ON measurement (sha256, device, runtime, threads)",
)


class SqliteFile:
    """The file at `path`, made if it is missing. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            cure = "set EDGEPRUNE_CACHE to a folder that can be written"
            raise StoreError(f"cannot make {path.parent}: {error.strerror}", cure) from error
        self._prepare()

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    @contextmanager
    def connection(self, *, alone: bool = False) -> Iterator["SqliteConnection"]:
        """One transaction. SQLite's errors become StoreErrors."""
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as connection, connection:
                if alone:
                    connection.execute("BEGIN IMMEDIATE")
                yield SqliteConnection(connection)
        except sqlite3.OperationalError as error:
            cure = "free space, make it writable, or set EDGEPRUNE_CACHE to another folder"
            raise StoreError(f"cannot use {self.path}: {error}", cure) from error
        except sqlite3.DatabaseError as error:
            cure = "delete the file: it only caches measurements, the next run makes it again"
            raise StoreError(f"{self.path} is damaged or no measurement store: {error}", cure) from error

    def _prepare(self) -> None:
        with self.connection() as connection:
            if connection.execute("PRAGMA journal_mode").fetchall() != [("wal",)]:
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            ((version,),) = connection.execute("PRAGMA user_version").fetchall()
            if version == 0:
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise StoreError(
                    f"{self.path} has schema version {version}, this EdgePrune writes {VERSION}",
                    "delete the file, or set EDGEPRUNE_CACHE to another folder",
                )


class SqliteConnection:
    """SQLite's own, as `profilers.database.Connection`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> sqlite3.Cursor:
        """Run a statement."""
        return self._connection.execute(statement, dict(values or {}))

    def execute_many(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once a row."""
        self._connection.executemany(statement, [dict(row) for row in rows])
