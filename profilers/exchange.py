"""The store as JSON Lines and back: one line a measurement or a layer's cost, with the device's fingerprint."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from profilers.layers import LayerKey
from profilers.measurement import Kind, Measurement
from profilers.statistics import latency
from profilers.store import ADD_COST, COLUMNS, Store, layer_text

FORMAT = "edgeprune-measurements/1"
_SAME = " AND ".join(f"{name} = :{name}" for name in ("sha256", "device", "runtime", "threads", "measurement"))
ADD_IF_NEW = (
    "INSERT INTO measurement (sha256, device, runtime, threads, measurement) "
    "SELECT :sha256, :device, :runtime, :threads, :measurement "
    f"WHERE NOT EXISTS (SELECT 1 FROM measurement WHERE {_SAME})"
)


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
        layers = connection.execute(f"SELECT {COLUMNS} FROM layer_cost").fetchall()
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
    measured = [_measured_row(entry) for entry in read if "measurement" in entry]
    costs = [_cost_row(entry) for entry in read if "measurement" not in entry]
    costs.sort(key=lambda row: [str(row[name]) for name in COLUMNS.split(", ")[:5]])  # see LayerCosts.put
    with store.connection(alone=True) as connection:
        measurements = sum(connection.execute(ADD_IF_NEW, row).rowcount for row in measured)
        layers = sum(connection.execute(f"{ADD_COST} NOTHING", row).rowcount for row in costs)
    return TakenIn(measurements, layers, len(read) - measurements - layers)


def _measured_row(entry: dict[str, Any]) -> dict[str, Any]:
    found = Measurement.from_json(entry["measurement"])
    return {
        "sha256": found.artifact_sha256,
        "device": entry["device"],
        "runtime": found.device.runtime,
        "threads": found.device.threads,
        "measurement": json.dumps(found.to_json()),
    }


def _cost_row(entry: dict[str, Any]) -> dict[str, Any]:
    cost = entry["layer_cost"]
    where = {name: entry[name] for name in ("device", "runtime", "runtime_version", "threads")}
    layer = layer_text(LayerKey.from_json(cost["layer"]))
    return {**where, "layer": layer, "ms": cost["ms"], "n": cost["n"], "measured_at": cost["measured_at"]}


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
