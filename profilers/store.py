"""What was measured on which machine, in one SQLite file that several processes may use at once.

Layer costs are kept by device fingerprint, runtime, its version, threads and layer; measurements by file hash, device
fingerprint, runtime and threads. The schema's version is SQLite's user_version.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from profilers.errors import StoreError
from profilers.layers import LayerCost, LayerKey
from profilers.measurement import Measurement

VERSION = 1
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


def default_path() -> Path:
    """$EDGEPRUNE_CACHE/measurements.sqlite, else ~/.cache/edgeprune/measurements.sqlite."""
    folder = os.environ.get("EDGEPRUNE_CACHE")
    return (Path(folder) if folder else Path.home() / ".cache" / "edgeprune") / "measurements.sqlite"


def _text(key: LayerKey) -> str:
    return json.dumps(key.to_json(), sort_keys=True, separators=(",", ":"))


class Store:
    """The file at `path` (default: `default_path()`), made if it is missing. Raises StoreError.

    Every call opens and closes its own connection: safe in threads, forks and several processes.
    """

    def __init__(self, path: Path | str | None = None) -> None:
        self.path = Path(path) if path is not None else default_path()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            cure = "set EDGEPRUNE_CACHE to a folder that can be written"
            raise StoreError(f"cannot make {self.path.parent}: {error.strerror}", cure) from error
        self._prepare()

    def layer_costs(self, device: str, runtime: str, runtime_version: str, threads: int) -> "LayerCosts":
        """The layer costs of one device fingerprint, runtime and thread count."""
        return LayerCosts(self, (device, runtime, runtime_version, threads))

    def put_measurements(self, device: str, measurements: Sequence[Measurement]) -> None:
        """Add measurements made on the device with this fingerprint; earlier ones of the same file stay."""
        rows = [
            (m.artifact_sha256, device, m.device.runtime, m.device.threads, json.dumps(m.to_json()))
            for m in measurements
        ]
        with self.connection() as connection:
            connection.executemany(
                "INSERT INTO measurement (sha256, device, runtime, threads, measurement) VALUES (?, ?, ?, ?, ?)", rows
            )

    def measurements(self, sha256: str, device: str, runtime: str, threads: int) -> list[Measurement]:
        """All measurements of a file, oldest first."""
        with self.connection() as connection:
            rows = connection.execute(
                "SELECT measurement FROM measurement WHERE sha256 = ? AND device = ? AND runtime = ? AND threads = ? "
                "ORDER BY id",
                (sha256, device, runtime, threads),
            ).fetchall()
        return [Measurement.from_json(json.loads(text)) for (text,) in rows]

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """One transaction: committed on leaving, rolled back on an error. SQLite's errors become StoreErrors."""
        try:
            with closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as connection, connection:
                yield connection
        except sqlite3.OperationalError as error:
            cure = "free space, make it writable, or set EDGEPRUNE_CACHE to another folder"
            raise StoreError(f"cannot use {self.path}: {error}", cure) from error
        except sqlite3.DatabaseError as error:
            cure = "delete the file: it only caches measurements, the next run makes it again"
            raise StoreError(f"{self.path} is damaged or no measurement store: {error}", cure) from error

    def _prepare(self) -> None:
        with self.connection() as connection:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
                connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("BEGIN IMMEDIATE")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            elif version != VERSION:
                raise StoreError(
                    f"{self.path} has schema version {version}, this EdgePrune writes {VERSION}",
                    "delete the file, or set EDGEPRUNE_CACHE to another folder",
                )


class LayerCosts:
    """Layer costs of one (device fingerprint, runtime, runtime version, threads); made by `Store.layer_costs`."""

    def __init__(self, store: Store, key: tuple[str, str, str, int]) -> None:
        self._store, self._key = store, key

    def get(self, keys: Sequence[LayerKey]) -> dict[LayerKey, float]:
        """Milliseconds of those layers that are known."""
        return {key: cost.ms for key, cost in self.costs(keys).items()}

    def costs(self, keys: Sequence[LayerKey]) -> dict[LayerKey, LayerCost]:
        """As `get`, with the number of runs and the time."""
        wanted = {_text(key): key for key in keys}
        with self._store.connection() as connection:
            rows = connection.execute(
                "SELECT layer, ms, n, measured_at FROM layer_cost "
                "WHERE device = ? AND runtime = ? AND runtime_version = ? AND threads = ?",
                self._key,
            ).fetchall()
        return {wanted[layer]: LayerCost(ms, n, when) for layer, ms, n, when in rows if layer in wanted}

    def put(self, costs: Mapping[LayerKey, LayerCost] | Mapping[LayerKey, float]) -> None:
        """Keep costs, or bare milliseconds, in place of earlier ones of the same layers: all or none."""
        rows = []
        for key, value in costs.items():
            cost = value if isinstance(value, LayerCost) else LayerCost(float(value), 0, "")
            rows.append((*self._key, _text(key), cost.ms, cost.n, cost.when))
        with self._store.connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO layer_cost VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
