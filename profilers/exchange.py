"""The store as JSON Lines and back: one line a measurement or a layer's cost, with the device's fingerprint."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from profilers.layers import LayerKey
from profilers.measurement import Kind, Measurement
from profilers.statistics import latency
from profilers.store import Store

FORMAT = "edgeprune-measurements/1"


class BadLine(Exception):
    """A line that cannot be taken in, by its number from 1."""

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@dataclass(frozen=True)
class TakenIn:
    """What `take_in` took, and what was there already."""

    measurements: int
    layers: int
    known: int


def dump(store: Store) -> Iterator[str]:
    """Every measurement, oldest first, and every layer cost, as lines."""
    with store.connection() as connection:
        measured = connection.execute("SELECT device, measurement FROM measurement ORDER BY id").fetchall()
        layers = connection.execute("SELECT * FROM layer_cost").fetchall()
    for device, text in measured:
        yield _line({"format": FORMAT, "device": device, "measurement": json.loads(text)})
    for device, runtime, runtime_version, threads, layer, ms, n, when in layers:
        cost = {"layer": json.loads(layer), "ms": ms, "n": n, "measured_at": when}
        key = {"device": device, "runtime": runtime, "runtime_version": runtime_version, "threads": threads}
        yield _line({"format": FORMAT, **key, "layer_cost": cost})


def take_in(store: Store, lines: Sequence[str]) -> TakenIn:
    """Put lines of `dump` into a store, all or none; equal ones only once. Raises BadLine, StoreError.

    A layer cost that is there already stays: the machine's own measuring is nearer to its clock.
    """
    read = [_read(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    measurements = layers = 0
    with store.connection() as connection:
        for entry in read:
            if "measurement" in entry:
                found = Measurement.from_json(entry["measurement"])
                device = found.device
                key = (
                    found.artifact_sha256,
                    entry["device"],
                    device.runtime,
                    device.threads,
                    json.dumps(found.to_json()),
                )
                done = connection.execute(
                    "INSERT INTO measurement (sha256, device, runtime, threads, measurement) SELECT ?, ?, ?, ?, ? "
                    "WHERE NOT EXISTS (SELECT 1 FROM measurement WHERE sha256 = ? AND device = ? AND runtime = ? "
                    "AND threads = ? AND measurement = ?)",
                    (*key, *key),
                )
                measurements += done.rowcount
            else:
                cost = entry["layer_cost"]
                layer = json.dumps(LayerKey.from_json(cost["layer"]).to_json(), sort_keys=True, separators=(",", ":"))
                where = (entry["device"], entry["runtime"], entry["runtime_version"], entry["threads"])
                done = connection.execute(
                    "INSERT OR IGNORE INTO layer_cost VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (*where, layer, cost["ms"], cost["n"], cost["measured_at"]),
                )
                layers += done.rowcount
    return TakenIn(measurements, layers, len(read) - measurements - layers)


def listing(store: Store) -> list[dict[str, Any]]:
    """One row a measurement, oldest first: device, file's name and hash, runtime, threads, median (ms), kind, time."""
    with store.connection() as connection:
        rows = connection.execute("SELECT device, measurement FROM measurement ORDER BY id").fetchall()
    found = []
    for fingerprint, text in rows:
        one = Measurement.from_json(json.loads(text))
        found.append(
            {
                "fingerprint": fingerprint,
                "device": one.device.name,
                "name": one.name,
                "sha256": one.artifact_sha256,
                "runtime": f"{one.device.runtime} {one.device.runtime_version}",
                "threads": one.device.threads,
                "median_ms": one.latency.median,
                "n": one.latency.n,
                "kind": one.kind,
                "when": one.conditions_before.get("time"),
                "flags": list(one.flags),
            }
        )
    return found


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def _read(number: int, line: str) -> dict[str, Any]:
    """One line, checked: of this format, finite and positive, its statistics those of its samples."""
    try:
        entry = json.loads(line)
        if not isinstance(entry, dict) or entry.get("format") != FORMAT:
            raise ValueError(f"is not of format {FORMAT}")
        if not isinstance(entry["device"], str):
            raise ValueError("device is no text")
        if "measurement" in entry:
            found = Measurement.from_json(entry["measurement"])
            if found.kind not in get_args(Kind):
                raise ValueError(f"kind {found.kind!r} is neither measured nor emulated")
            if not (isinstance(found.conditions_before, dict) and isinstance(found.conditions_after, dict)):
                raise ValueError("conditions are no object")
            if not all(math.isfinite(ms) and ms > 0 for ms in found.samples_ms):
                raise ValueError("a sample is not a positive number")
            if not math.isclose(latency(found.samples_ms).median, found.latency.median, rel_tol=1e-9):
                raise ValueError("the median is not that of the samples")
        else:
            cost = entry["layer_cost"]
            LayerKey.from_json(cost["layer"])
            if not (math.isfinite(cost["ms"]) and cost["ms"] >= 0 and isinstance(cost["n"], int)):
                raise ValueError("a layer cost is not a number of milliseconds")
            if not isinstance(entry["threads"], int) or not isinstance(cost["measured_at"], str):
                raise ValueError("threads or measured_at is of another type")
    except json.JSONDecodeError as error:
        raise BadLine(number, f"is no JSON ({error})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadLine(number, f"{type(error).__name__}: {error}") from error
    return entry
