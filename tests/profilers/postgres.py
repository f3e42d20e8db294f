"""A PostgreSQL server of the tests' own: Debian's programs, a temporary folder, a free loopback port, a password."""

import contextlib
import getpass
import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

PASSWORD = "s3cret/with@signs"
_NUMBERS = itertools.count()


class Postgres:
    """A running server. `url(database)` has the password in it."""

    def __init__(self, programs: Path, user: str, port: int) -> None:
        self._programs, self._user, self.port = programs, user, port

    def url(self, database: str = "postgres", password: str = "s3cret%2Fwith%40signs") -> str:
        """For $EDGEPRUNE_STORE."""
        return f"postgresql://{self._user}:{password}@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The name of a new, empty database."""
        name = f"store{next(_NUMBERS)}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def sql(self, statement: str, database: str = "postgres") -> str:
        """What psql prints."""
        done = subprocess.run(
            [self._programs / "psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement, self.url(database)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout


@contextlib.contextmanager
def serve() -> Iterator[Postgres]:
    """Started and, at the end, stopped. initdb refuses root, which lends itself to Debian's user postgres then."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    root = os.geteuid() == 0
    user = "postgres" if root else getpass.getuser()
    as_user = ["runuser", "-u", user, "--"] if root else []
    place = Path(tempfile.mkdtemp(prefix="edgeprune-postgres-"))
    try:
        (place / "password").write_text(PASSWORD)
        for path in (place, place / "password"):
            shutil.chown(path, user) if root else None
        data = place / "data"
        _run([*as_user, programs / "initdb", "-D", data, "-U", user, "-A", "scram-sha-256", "-E", "UTF8",
              "--no-sync", "--pwfile", place / "password"])  # fmt: skip
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='{place}' -c fsync=off"
        control = [*as_user, programs / "pg_ctl", "-D", data, "-w"]
        _run([*control, "-l", place / "log", "-o", options, "start"])
        try:
            yield Postgres(programs, user, port)
        finally:
            _run([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(place)


def _run(words: list[object]) -> None:
    # its server inherits the pipes: files of no use to it must not keep the call waiting
    done = subprocess.run(
        [str(word) for word in words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, cwd="/", timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
