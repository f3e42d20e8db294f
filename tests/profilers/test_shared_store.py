"""One store for a team: everything that the SQLite file does, on PostgreSQL too, and writers from several processes."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from profilers import device
from profilers.errors import RuntimeNotInstalled, StoreError
from profilers.exchange import dump, listing, take_in
from profilers.layers import LayerCost, LayerKey
from profilers.measurement import Measurement
from profilers.statistics import latency
from profilers.store import Store
from tests.profilers.postgres import PASSWORD, Postgres, serve

ROOT = Path(__file__).parents[2]
KEYS = [LayerKey("linear", n, 10) for n in range(1, 6)]
POSTGRES = pytest.mark.debian("postgresql")
WRITERS, TURNS = 3, 6


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One for the file; every test has a database of its own."""
    with serve() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=POSTGRES)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the store is: a path, or a URL with a password."""
    if request.param == "sqlite":
        return str(tmp_path / "s.sqlite")
    server = request.getfixturevalue("server")
    return server.url(server.database())


def measurement(sha256: str, samples: tuple[float, ...]) -> Measurement:
    made_by = device.describe("litert", "2.3.0", 1, (1,), (1,))
    return Measurement(sha256, latency(samples), samples, 5.0, 2.0, 7.5, made_by, {"load_1min": 0.1}, {}, ("doubt",))


def test_what_was_put_comes_back(place: str) -> None:
    store = Store(place)
    first, second = measurement("aa", (1.0, 2.0, 0.1 + 0.2)), measurement("aa", (4.0, 5.0))
    store.put_measurements("dev", [first, measurement("bb", (9.0,))])
    store.put_measurements("dev", [second])
    assert Store(place).measurements("aa", "dev", "litert", 1) == [first, second]
    assert store.measurements("aa", "dev2", "litert", 1) == []
    costs = store.layer_costs("dev", "litert", "2.3.0", 1)
    costs.put({KEYS[0]: LayerCost(0.1 + 0.2, 60, "2026-11-23T00:00:00Z"), KEYS[1]: LayerCost(5.0, 1, "")})
    costs.put({KEYS[1]: 6.0})
    costs.put({})
    again = Store(place).layer_costs("dev", "litert", "2.3.0", 1)
    assert again.costs(KEYS) == {
        KEYS[0]: LayerCost(0.1 + 0.2, 60, "2026-11-23T00:00:00Z"),
        KEYS[1]: LayerCost(6.0, 0, ""),
    }
    assert store.layer_costs("dev", "litert", "2.3.0", 2).get(KEYS) == {}


def test_a_batch_is_kept_whole_or_not_at_all(place: str) -> None:
    costs = Store(place).layer_costs("dev", "litert", "2.3.0", 1)
    with pytest.raises(StoreError):
        costs.put({KEYS[0]: LayerCost(1.0, 1, ""), KEYS[1]: LayerCost(None, 1, "")})  # type: ignore[arg-type]
    assert costs.get(KEYS) == {}


def test_out_of_one_store_into_the_other(place: str, tmp_path: Path) -> None:
    file = Store(tmp_path / "other.sqlite")
    file.put_measurements("dev", [measurement("aa", (1.0, 2.0)), measurement("bb", (3.0,))])
    file.layer_costs("dev", "litert", "2.3.0", 1).put({key: LayerCost(1.5, 2, "t") for key in KEYS})
    lines = list(dump(file))
    store = Store(place)
    taken = take_in(store, lines)
    assert (taken.measurements, taken.layers, taken.known) == (2, 5, 0)
    again = take_in(store, lines)
    assert (again.measurements, again.layers, again.known) == (0, 0, 7)
    assert sorted(dump(store)) == sorted(lines)
    assert [row["sha256"] for row in listing(store)] == ["aa", "bb"]


PROGRAM = textwrap.dedent("""
    import os, sys
    from profilers.exchange import take_in
    from profilers.layers import LayerKey
    from profilers.measurement import Device, Latency, Measurement
    from profilers.store import Store
    number, turns, writers = map(int, sys.argv[1:4])
    lines = sys.stdin.read().splitlines()
    made_by = Device("name", "soc", "os", 2, "litert", "2.3.0", 1)
    order = list(range(1, turns + 1))
    for n in order if number % 2 else order[::-1]:
        store = Store()
        own = {LayerKey("linear", n, number + 1): float(number)}
        shared = {LayerKey("linear", m, 100): float(m) for m in (order if number % 2 else order[::-1])}
        store.layer_costs("dev", "litert", "2.3.0", 1).put(own | shared)
        one = Measurement(f"{number}-{n}", Latency(1.0, 1.0, 1.0, 1.0, (1.0, 1.0), 1), (1.0,), 1.0, 1.0, None, made_by)
        store.put_measurements("dev", [one])
    take_in(Store(), lines)
""")


def test_processes_write_at_once_and_nothing_is_lost(place: str, tmp_path: Path) -> None:
    other = Store(tmp_path / "other.sqlite")
    other.put_measurements("dev", [measurement("imported", (float(n), 2.0)) for n in range(1, 11)])
    lines = "\n".join(dump(other))
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(n), str(TURNS), str(WRITERS)],
            cwd=ROOT, env={**os.environ, "EDGEPRUNE_STORE": place}, text=True,
            stdin=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for n in range(WRITERS)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(lines)
        writer.stdin.close()
        writer.stdin = None
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    store = Store(place)
    costs = store.layer_costs("dev", "litert", "2.3.0", 1)
    own = {LayerKey("linear", n, w + 1): float(w) for n in range(1, TURNS + 1) for w in range(WRITERS)}
    shared = {LayerKey("linear", n, 100): float(n) for n in range(1, TURNS + 1)}
    assert costs.get([*own, *shared]) == own | shared
    found = [row["sha256"] for row in listing(store)]
    assert found.count("imported") == 10, "imports at once take equal measurements only once"
    assert sorted(set(found) - {"imported"}) == sorted(f"{w}-{n}" for n in range(1, TURNS + 1) for w in range(WRITERS))
    assert len(found) == 10 + WRITERS * TURNS


def test_the_environment_names_the_store(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGEPRUNE_STORE", place)
    Store().layer_costs("dev", "litert", "2.3.0", 1).put({KEYS[0]: 1.0})
    assert Store(place).layer_costs("dev", "litert", "2.3.0", 1).get(KEYS) == {KEYS[0]: 1.0}


@POSTGRES
def test_no_password_is_shown(server: Postgres, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = "wrong-s3cret"
    urls = {
        server.url(password=wrong): "authentication",
        f"postgresql://postgres@127.0.0.1:{server.port}/postgres?password={wrong}": "authentication",
        f"postgresql://postgres:{wrong}@127.0.0.1:1/postgres": "127.0.0.1",
        f"postgresql://postgres:{wrong}@127.0.0.1:port/postgres": "cannot be read",
        f"postgresql://postgres@127.0.0.1/postgres?password={wrong}&no_such_option=1": "no_such_option",
        f"mysql://me:{wrong}@host/base": "mysql",
    }
    for url, told in urls.items():
        with pytest.raises(StoreError, match=told) as caught:
            Store(url)
        error: BaseException | None = caught.value
        assert wrong not in str(error)
        assert "EDGEPRUNE_STORE" in str(error)
        assert error.__suppress_context__ or error.__context__ is None, "nor in a traceback"
    database = server.database()
    assert PASSWORD not in Store(server.url(database)).database.name
    assert database in Store(server.url(database)).database.name
    said = capfd.readouterr()
    assert wrong not in said.out + said.err


@POSTGRES
def test_a_store_of_the_future_is_left_alone(server: Postgres) -> None:
    database = server.database()
    Store(server.url(database))
    server.sql("UPDATE edgeprune_store SET version = 99", database)
    with pytest.raises(StoreError, match="version 99"):
        Store(server.url(database))


@POSTGRES
def test_a_reader_needs_no_right_to_make_tables(server: Postgres) -> None:
    database = server.database()
    Store(server.url(database)).layer_costs("dev", "litert", "2.3.0", 1).put({KEYS[0]: 1.0})
    server.sql("CREATE ROLE reader LOGIN PASSWORD 'reading'; GRANT pg_read_all_data TO reader")
    url = f"postgresql://reader:reading@127.0.0.1:{server.port}/{database}"
    costs = Store(url).layer_costs("dev", "litert", "2.3.0", 1)
    assert costs.get(KEYS) == {KEYS[0]: 1.0}
    with pytest.raises(StoreError, match="permission denied"):
        costs.put({KEYS[1]: 1.0})


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(RuntimeNotInstalled, match="SQLAlchemy") as caught:
        Store("postgresql://me:secret@host/base")
    assert "edgeprune[distributed]" in caught.value.cure


def test_the_default_store_needs_no_library(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom profilers.store import Store\nStore(sys.argv[1])\n"
        "print([name for name in ('sqlalchemy', 'psycopg', 'ray', 'torch', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "s.sqlite")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
