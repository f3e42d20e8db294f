"""What was measured on which machine: one SQLite file, or a database that a team shares (see `profilers.database`).

Layer costs are kept by device fingerprint, runtime, its version, threads and layer; measurements by file hash, device
fingerprint, runtime and threads.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from profilers.database import Connection, default_path, open_database
from profilers.layers import LayerCost, LayerKey
from profilers.measurement import Measurement

__all__ = ["LayerCosts", "Store", "default_path"]

COLUMNS = "device, runtime, runtime_version, threads, layer, ms, n, measured_at"
ADD_COST = (
    f"INSERT INTO layer_cost ({COLUMNS}) "
    "VALUES (:device, :runtime, :runtime_version, :threads, :layer, :ms, :n, :measured_at) "
    "ON CONFLICT (device, runtime, runtime_version, threads, layer) DO "
)


def layer_text(key: LayerKey) -> str:
    """A layer as the store keeps it."""
    return json.dumps(key.to_json(), sort_keys=True, separators=(",", ":"))


class Store:
    """The store at `place`, a path or a URL (default: see `open_database`), made if it is missing. Raises StoreError.

    Every call opens and closes its own connection: safe in threads, forks and several processes.
    """

    def __init__(self, place: Path | str | None = None) -> None:
        self.database = open_database(place)

    def layer_costs(self, device: str, runtime: str, runtime_version: str, threads: int) -> "LayerCosts":
        """The layer costs of one device fingerprint, runtime and thread count."""
        return LayerCosts(self, (device, runtime, runtime_version, threads))

    def put_measurements(self, device: str, measurements: Sequence[Measurement]) -> None:
        """Add measurements made on the device with this fingerprint; earlier ones of the same file stay."""
        rows = [
            {
                "sha256": m.artifact_sha256,
                "device": device,
                "runtime": m.device.runtime,
                "threads": m.device.threads,
                "measurement": json.dumps(m.to_json()),
            }
            for m in measurements
        ]
        with self.connection() as connection:
            connection.execute_many(
                "INSERT INTO measurement (sha256, device, runtime, threads, measurement) "
                "VALUES (:sha256, :device, :runtime, :threads, :measurement)",
                rows,
            )

    def measurements(self, sha256: str, device: str, runtime: str, threads: int) -> list[Measurement]:
        """All measurements of a file, oldest first."""
        with self.connection() as connection:
            rows = connection.execute(
                "SELECT measurement FROM measurement WHERE sha256 = :sha256 AND device = :device "
                "AND runtime = :runtime AND threads = :threads ORDER BY id",
                {"sha256": sha256, "device": device, "runtime": runtime, "threads": threads},
            ).fetchall()
        return [Measurement.from_json(json.loads(text)) for (text,) in rows]

    def connection(self, *, alone: bool = False) -> AbstractContextManager[Connection]:
        """One transaction: committed on leaving, rolled back on an error. Raises StoreError."""
        return self.database.connection(alone=alone)


class LayerCosts:
    """Layer costs of one (device fingerprint, runtime, runtime version, threads); made by `Store.layer_costs`."""

    def __init__(self, store: Store, key: tuple[str, str, str, int]) -> None:
        names = ("device", "runtime", "runtime_version", "threads")
        self._store, self._key = store, dict(zip(names, key, strict=True))

    def get(self, keys: Sequence[LayerKey]) -> dict[LayerKey, float]:
        """Milliseconds of those layers that are known."""
        return {key: cost.ms for key, cost in self.costs(keys).items()}

    def costs(self, keys: Sequence[LayerKey]) -> dict[LayerKey, LayerCost]:
        """As `get`, with the number of runs and the time."""
        wanted = {layer_text(key): key for key in keys}
        with self._store.connection() as connection:
            rows = connection.execute(
                "SELECT layer, ms, n, measured_at FROM layer_cost WHERE device = :device AND runtime = :runtime "
                "AND runtime_version = :runtime_version AND threads = :threads",
                self._key,
            ).fetchall()
        return {wanted[layer]: LayerCost(ms, n, when) for layer, ms, n, when in rows if layer in wanted}

    def put(self, costs: Mapping[LayerKey, LayerCost] | Mapping[LayerKey, float]) -> None:
        """Keep costs, or bare milliseconds, in place of earlier ones of the same layers: all or none."""
        rows = []
        for key, value in costs.items():
            cost = value if isinstance(value, LayerCost) else LayerCost(float(value), 0, "")
            rows.append({**self._key, "layer": layer_text(key), "ms": cost.ms, "n": cost.n, "measured_at": cost.when})
        rows.sort(key=lambda row: str(row["layer"]))  # all in one order: two writers never wait for each other
        with self._store.connection() as connection:
            connection.execute_many(
                f"{ADD_COST} UPDATE SET ms = excluded.ms, n = excluded.n, measured_at = excluded.measured_at", rows
            )
