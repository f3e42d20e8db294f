"""The store's tables on a PostgreSQL server that a team shares, through SQLAlchemy. No password is ever shown."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from profilers.database import VARIABLE, VERSION
from profilers.errors import RuntimeNotInstalled, StoreError

if TYPE_CHECKING:
    from sqlalchemy import URL, MetaData
    from sqlalchemy import Connection as Connected

DRIVER = "postgresql+psycopg"
EXAMPLE = "postgresql://user:password@host/database"
CONNECT_TIMEOUT_S = 10
LOCK = 0x65646765  # of those that must be alone: any number that nobody else on the server takes


class SharedDatabase:
    """The database at `url`. Raises StoreError; RuntimeNotInstalled without SQLAlchemy or psycopg."""

    def __init__(self, url: str) -> None:
        try:
            from sqlalchemy import create_engine
            from sqlalchemy.pool import NullPool
        except ImportError as error:
            raise _not_installed("SQLAlchemy") from error
        parsed = _parse(url)
        self.name = f"{parsed.get_backend_name()} {parsed.database or ''} on {_host(parsed)}"
        self._secrets = _secrets(parsed)
        known = {} if "connect_timeout" in parsed.query else {"connect_timeout": CONNECT_TIMEOUT_S}
        try:
            self._engine = create_engine(parsed, poolclass=NullPool, hide_parameters=True, connect_args=known)
        except ImportError as error:
            raise _not_installed("psycopg") from error
        self._prepare()

    @contextmanager
    def connection(self, *, alone: bool = False) -> Iterator["SharedConnection"]:
        """One transaction. SQLAlchemy's errors become StoreErrors."""
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._engine.begin() as connection:
                if alone:
                    _lock(connection)
                yield SharedConnection(connection)
        except SQLAlchemyError as error:
            cure = f"check {VARIABLE}, that the server runs and lets you in, and that you may make tables there"
            raise StoreError(f"cannot use {self.name}: {self._reason(error)}", cure) from None  # it knows the URL

    def _reason(self, error: Exception) -> str:
        """The driver's own words on one line, less the password where it repeats it."""
        said = " ".join(str(getattr(error, "orig", None) or error).split())
        for secret in self._secrets:
            said = said.replace(secret, "***")
        return said

    def _prepare(self) -> None:
        tables = _tables()
        with self.connection() as shared:
            connection = shared.connection
            if not connection.dialect.has_table(connection, "edgeprune_store"):
                _lock(connection)
                tables.create_all(connection)  # another one may have been first: only what is missing
                shared.execute(
                    "INSERT INTO edgeprune_store (version) SELECT :version "
                    "WHERE NOT EXISTS (SELECT 1 FROM edgeprune_store)",
                    {"version": VERSION},
                )
            versions = [version for (version,) in shared.execute("SELECT version FROM edgeprune_store").fetchall()]
        if versions != [VERSION]:
            told = ", ".join(map(str, versions)) or "none"
            raise StoreError(
                f"{self.name} has schema version {told}, this EdgePrune writes {VERSION}",
                f"use the EdgePrune that the team uses, or another database in {VARIABLE}",
            )


class SharedConnection:
    """SQLAlchemy's own, as `profilers.database.Connection`."""

    def __init__(self, connection: "Connected") -> None:
        self.connection = connection

    def execute(self, statement: str, values: Mapping[str, Any] | None = None) -> Any:
        """Run a statement."""
        from sqlalchemy import text

        return self.connection.execute(text(statement), dict(values or {}))

    def execute_many(self, statement: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run a statement once a row."""
        from sqlalchemy import text

        if rows:
            self.connection.execute(text(statement), [dict(row) for row in rows])


def _parse(url: str) -> "URL":
    """The URL, with the driver that the extra brings. Raises StoreError, which does not repeat it."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", DRIVER):
        raise StoreError(
            f"a store at {scheme}://... is not known", f"{VARIABLE} is the path of an SQLite file, or {EXAMPLE}"
        )
    try:
        return make_url(DRIVER + separator + rest)
    except (ArgumentError, ValueError):
        cure = f"write {EXAMPLE}; a password's special characters as %40 and the like"
        raise StoreError(f"the URL in {VARIABLE} cannot be read", cure) from None


def _host(url: "URL") -> str:
    told = url.host or url.query.get("host") or os.environ.get("PGHOST") or "this machine"
    host = told if isinstance(told, str) else ", ".join(told)
    return f"{host}:{url.port}" if url.port else host


def _secrets(url: "URL") -> list[str]:
    asked = url.query.get("password", ())
    return [secret for secret in (url.password, *((asked,) if isinstance(asked, str) else asked)) if secret]


def _lock(connection: "Connected") -> None:
    """Until the transaction ends."""
    from sqlalchemy import text

    connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK})


def _not_installed(library: str) -> RuntimeNotInstalled:
    return RuntimeNotInstalled(
        f"A shared store needs {library}, which is not installed.",
        f'Install it with: pip install "edgeprune[distributed]", or unset {VARIABLE}.',
    )


def _tables() -> "MetaData":
    """Columns as in `profilers.sqlite_file.SCHEMA`."""
    from sqlalchemy import BigInteger, Column, Double, Identity, Index, Integer, MetaData, Table, Text

    def text(name: str, **options: Any) -> "Column[str]":
        return Column(name, Text, nullable=False, **options)

    tables = MetaData()
    key: dict[str, Any] = {"primary_key": True}
    Table("edgeprune_store", tables, Column("version", Integer, nullable=False))
    Table(
        "layer_cost", tables,
        text("device", **key), text("runtime", **key), text("runtime_version", **key),
        Column("threads", Integer, nullable=False, autoincrement=False, **key), text("layer", **key),
        Column("ms", Double, nullable=False), Column("n", BigInteger, nullable=False), text("measured_at"),
    )  # fmt: skip
    measured = Table(
        "measurement", tables, Column("id", BigInteger, Identity(), primary_key=True),
        text("sha256"), text("device"), text("runtime"), Column("threads", Integer, nullable=False),
        text("measurement"),
    )  # fmt: skip
    Index("measurement_key", *(measured.c[name] for name in ("sha256", "device", "runtime", "threads")))
    return tables
