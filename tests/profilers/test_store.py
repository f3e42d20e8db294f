import json
import sqlite3
from pathlib import Path

import pytest

from profilers import device
from profilers.errors import StoreError
from profilers.layers import LayerCost, LayerKey
from profilers.measurement import Measurement
from profilers.statistics import latency
from profilers.store import Store, default_path

KEYS = [LayerKey("linear", n, 10) for n in range(1, 6)]


def measurement(sha256: str, samples: tuple[float, ...], threads: int = 1) -> Measurement:
    made_by = device.describe("litert", "2.3.0", threads, (1,), (1,))
    return Measurement(sha256, latency(samples), samples, 5.0, 2.0, 7.5, made_by, {"load_1min": 0.1}, {}, ("doubt",))


def test_layer_costs_come_back_and_only_those_asked_for(tmp_path: Path) -> None:
    costs = Store(tmp_path / "s.sqlite").layer_costs("dev", "litert", "2.3.0", 1)
    costs.put({key: LayerCost(key.c_in / 10, 60, "2026-11-23T00:00:00Z") for key in KEYS})
    again = Store(tmp_path / "s.sqlite").layer_costs("dev", "litert", "2.3.0", 1)
    assert again.get([*KEYS[:2], LayerKey("linear", 99, 10)]) == {KEYS[0]: 0.1, KEYS[1]: 0.2}
    assert again.costs(KEYS[:1])[KEYS[0]] == LayerCost(0.1, 60, "2026-11-23T00:00:00Z")


@pytest.mark.parametrize(
    "other",
    [
        ("dev2", "litert", "2.3.0", 1),
        ("dev", "executorch", "2.3.0", 1),
        ("dev", "litert", "2.4.0", 1),
        ("dev", "litert", "2.3.0", 2),
    ],
)
def test_costs_of_another_device_runtime_version_or_thread_count_stay_apart(
    tmp_path: Path, other: tuple[str, str, str, int]
) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.layer_costs("dev", "litert", "2.3.0", 1).put({KEYS[0]: 1.0})
    assert store.layer_costs(*other).get(KEYS) == {}


def test_a_newer_cost_replaces_the_older(tmp_path: Path) -> None:
    costs = Store(tmp_path / "s.sqlite").layer_costs("dev", "litert", "2.3.0", 1)
    costs.put({KEYS[0]: 1.0, KEYS[1]: 5.0})
    costs.put({KEYS[0]: 2.0})
    assert costs.get(KEYS) == {KEYS[0]: 2.0, KEYS[1]: 5.0}


def test_a_batch_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    costs = Store(tmp_path / "s.sqlite").layer_costs("dev", "litert", "2.3.0", 1)
    with pytest.raises(StoreError):
        costs.put({KEYS[0]: LayerCost(1.0, 1, ""), KEYS[1]: LayerCost(None, 1, "")})
    assert costs.get(KEYS) == {}


def test_measurements_come_back_equal(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    first, second = measurement("aa", (1.0, 2.0, 3.0)), measurement("aa", (4.0, 5.0))
    store.put_measurements("dev", [first, measurement("bb", (9.0,))])
    store.put_measurements("dev", [second])
    assert store.measurements("aa", "dev", "litert", 1) == [first, second]
    assert store.measurements("aa", "dev", "litert", 2) == []
    assert store.measurements("aa", "dev2", "litert", 1) == []


def test_default_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "deep" / "cache"))
    assert Path(Store().database.name) == default_path() == tmp_path / "deep" / "cache" / "measurements.sqlite"
    assert default_path().is_file()
    monkeypatch.delenv("EDGEPRUNE_CACHE")
    assert default_path() == Path.home() / ".cache" / "edgeprune" / "measurements.sqlite"


def test_a_damaged_file_is_named_with_its_cure(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"this is no database, " * 100)
    with pytest.raises(StoreError, match="damaged") as caught:
        Store(path)
    assert "delete the file" in caught.value.cure
    assert str(path) in caught.value.message


def test_a_truncated_file_is_named_with_its_cure(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    costs = Store(path).layer_costs("dev", "litert", "2.3.0", 1)
    costs.put({LayerKey("linear", n, 10): 1.0 for n in range(1, 400)})
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(StoreError, match="damaged"):
        costs.get(KEYS)


def test_a_store_of_the_future_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    Store(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="version 99"):
        Store(path)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make") as caught:
        Store(tmp_path / "file" / "s.sqlite")
    assert "EDGEPRUNE_CACHE" in caught.value.cure


def test_measurements_are_readable_json(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.put_measurements("dev", [measurement("aa", (1.0,))])
    with store.connection() as connection:
        ((text,),) = connection.execute("SELECT measurement FROM measurement")
    assert json.loads(text)["samples_ms"] == [1.0]
