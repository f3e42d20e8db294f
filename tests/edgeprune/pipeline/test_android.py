"""The whole loop over the emulated phone: optimize finishes, resumes, and says "emulated" wherever it shows a time."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import Result

from edgeprune.pipeline import stages
from profilers.measurement import Measurement
from tests.phone import Phone
from tests.phone.fixtures import connect

pytestmark = [
    pytest.mark.slow,
    pytest.mark.debian("adb"),
    pytest.mark.debian("proot"),
    pytest.mark.usefixtures("native"),
]
BRIEF = ("--epochs", "1", "--formats", "litert", "--target", "android", "-o", "run")
Cli = Callable[..., Result]


@pytest.fixture
def given(enlarged: list[str]) -> list[str]:
    """A call of the emulated phone costs 0.1 ms, and what a network computes on 8x8 is a tenth of that."""
    return enlarged


@pytest.fixture
def second_phone(tmp_path: Path, adb_server: int) -> Iterator[Phone]:  # noqa: ARG001
    """Another connected phone."""
    with Phone(tmp_path / "second", serial="EMULATED02", model="EdgePrune other emulated phone") as phone:
        connect(phone)
        yield phone


def test_the_loop_closes_over_adb_and_says_emulated(cli: Cli, given: list[str], phone: Phone, tmp_path: Path) -> None:
    done = cli("optimize", *given, "--latency", "85%", *BRIEF)
    assert done.exit_code in (0, 4), done.stderr
    run = tmp_path / "run"
    result = json.loads((run / "result.json").read_text())
    assert result["target"] == "android"
    assert [r["source"] for r in result["budget"]["requirements"]] == ["emulated"]
    assert result["device"]["kind"] == "emulated"
    assert result["device"]["libc"] == "glibc"
    measured = [Measurement.from_json({k: v for k, v in json.loads(line).items() if k != "label"})
                for line in (run / "measurements.jsonl").read_text().splitlines()]  # fmt: skip
    assert measured
    assert {m.kind for m in measured} == {"emulated"}
    everything = done.stdout + done.stderr + "".join(p.read_text() for p in run.rglob("*.json*"))
    assert phone.address not in everything, "the serial number leaves only hashed"
    table = " ".join(done.stdout.split())
    assert "emulated phone" in table
    assert "these are not a phone's numbers" in table
    assert "(emulated)" in table
    assert "faster" not in table
    assert "Emulated." in (run / "report.html").read_text()
    notes = " ".join(done.stderr.split())
    print(result["conditions"]["adb_round_trips"], "adb round trips,", result["search"]["candidates_measured"],
          "candidates,", round(result["seconds"]), "s:", result["search"]["reason"])  # fmt: skip
    trips = [int(n) for n in re.findall(r"(\d+) adb round trips, [\d.]+ s", notes)]
    assert trips, done.stderr
    assert max(trips) <= 10
    probes = re.search(r"(\d+) layers emulated now.*?(\d+) adb round trips", notes)
    assert probes is not None
    assert int(probes[1]) > 50
    assert int(probes[2]) <= 10
    assert phone.left_behind() == []


def test_one_network_for_two_phones(
    cli: Cli, given: list[str], phone: Phone, second_phone: Phone, tmp_path: Path
) -> None:
    both = ("--serial", phone.address, "--serial", second_phone.address)
    refused = cli("optimize", *given, "--latency", "85%", *BRIEF)
    assert refused.exit_code == 5
    assert "2 phones are attached" in refused.stderr
    done = cli("optimize", *given, "--latency", "85%", *both, *BRIEF)
    assert done.exit_code in (0, 4), done.stderr
    kept = "".join(path.read_text() for path in (tmp_path / "run").rglob("*") if path.suffix in (".json", ".yaml"))
    assert phone.address not in kept, "the serial number is kept only hashed"
    result = json.loads((tmp_path / "run/result.json").read_text())
    rows = result["budget"]["requirements"]
    assert len(rows) == 2
    assert len({row["device"] for row in rows}) == 2
    assert all(row["source"] == "emulated" for row in rows)
    assert result["met"] == all(row["met"] for row in rows) == (done.exit_code == 0)


def test_a_phone_lost_in_the_last_measurement_costs_nothing_that_was_done(
    cli: Cli, given: list[str], phone: Phone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from profilers.android import adb

    monkeypatch.setattr(adb, "RETURN_S", 1.0)
    judge = stages.judge_stage

    def unplugged(*arguments: object, **more: object) -> object:
        phone.unplug()
        return judge(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("edgeprune.pipeline.optimize.judge_stage", unplugged)
    lost = cli("optimize", *given, "--latency", "85%", *BRIEF)
    assert lost.exit_code == 5, lost.stderr
    assert "went away" in lost.stderr
    monkeypatch.setattr("edgeprune.pipeline.optimize.judge_stage", judge)
    phone.plug_in()
    connect(phone)
    candidates = tmp_path / "run/state/candidates.json"
    timed = json.loads(candidates.read_text())
    done = {path.name: path.stat().st_mtime_ns for path in candidates.parent.glob("*.json") if path != candidates}
    assert timed
    assert {"dense.json", "search-0.json", "train-0.json", "files-0.json"} <= set(done)
    resumed = cli("optimize", *given, "--latency", "85%", *BRIEF, "--resume")
    assert resumed.exit_code in (0, 4), resumed.stderr
    again = {path.name: path.stat().st_mtime_ns for path in candidates.parent.glob("*.json")}
    assert {name: again[name] for name in done} == done, "nothing that was done is repeated"
    assert json.loads(candidates.read_text())[: len(timed)] == timed, "a second solve may add to them"
