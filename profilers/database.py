"""Where the store's tables are: a file of this machine, or a server that a team shares. Same statements for both."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

VARIABLE = "EDGEPRUNE_STORE"
VERSION = 1


class Rows(Protocol):
    """What a statement gave."""

    @property
    def rowcount(self) -> int:
        """Rows that it added or changed."""
        ...

    def fetchall(self) -> Sequence[Any]:
        """All rows, each unpacks like a tuple."""
        ...


class Connection(Protocol):
    """One transaction. Parameters are named in a statement as `:name`; the statements are those both engines know."""

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> Rows:
        """Run a statement."""
        ...

    def execute_many(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once a row."""
        ...


class Database(Protocol):
    """The tables layer_cost and measurement, made if they are missing. `name` is for people, without a password."""

    @property
    def name(self) -> str:
        """Path or server."""
        ...

    def connection(self, *, alone: bool = False) -> AbstractContextManager[Connection]:
        """One transaction: committed on leaving, rolled back on an error; `alone`: no other such one meanwhile.

        Every one has a connection of its own: safe in threads, forks and several processes. Raises StoreError.
        """
        ...


def default_path() -> Path:
    """$EDGEPRUNE_CACHE/measurements.sqlite, else ~/.cache/edgeprune/measurements.sqlite."""
    folder = os.environ.get("EDGEPRUNE_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "edgeprune") / "measurements.sqlite"


def open_database(place: Path | str | None = None) -> Database:
    """A path or a URL; by default what $EDGEPRUNE_STORE says, else the file at `default_path()`. Raises StoreError."""
    from profilers.sqlite_file import SqliteFile

    place = place or os.environ.get(VARIABLE) or default_path()
    if isinstance(place, str) and "://" in place:
        if place.startswith("sqlite:///"):
            return SqliteFile(Path(place.removeprefix("sqlite:///")))
        from profilers.shared_database import SharedDatabase

        return SharedDatabase(place)
    return SqliteFile(Path(place))
