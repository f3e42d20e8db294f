"""Measuring with the native runner on the emulated phone: what a measurement holds, rounds, probes, self-check."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from converters.artifact import Artifact
from profilers.android.adb import OWN_GROUP
from profilers.android.bench import PhoneBench
from profilers.android.facts import read_facts
from profilers.android.folder import ROOT, owner
from profilers.android.layer_probe import PhoneProber
from profilers.android.measure import compare, measure
from profilers.android.native_runner import NativeRunner
from profilers.android.station import Station
from profilers.errors import DeviceError, MeasurementError, RuntimeNotInstalled
from profilers.host.layer_probe import LayerProber
from profilers.host.litert_flatbuffer import layer_file
from profilers.measurement import Measurement
from profilers.protocol import QUICK, Protocol
from profilers.runtimes import open_session
from tests.phone import Phone
from tests.profilers.android.conftest import BIG, SMALL

pytestmark = [pytest.mark.debian("adb"), pytest.mark.debian("proot")]
BRIEF = Protocol(warmup_runs=2, warmup_seconds=0.0, min_runs=40, min_seconds=0.0, max_runs=40, max_seconds=20.0)


def test_a_measurement_says_all_and_is_marked_emulated(station: Station, big: Artifact) -> None:
    seen = []
    found = measure(station, {"net": big}, protocol=QUICK, on_progress=lambda _, so_far: seen.append(so_far.n))["net"]
    assert found.kind == "emulated"
    assert found.artifact_sha256 == big.sha256
    assert found.latency.n == len(found.samples_ms) == 30
    assert seen == [15, 30]
    assert found.peak_memory_mib is not None
    assert 0.1 < found.peak_memory_mib < 100
    device = found.device
    assert (device.runtime, device.libc, device.delegate, device.threads) == ("litert", "glibc", "xnnpack", 1)
    assert device.serial_sha256
    assert station.phone.serial not in json.dumps(found.to_json())
    assert found.conditions_before["battery_percent"] == 87
    assert Measurement.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_turns_are_fresh_processes_in_the_order_a_b_b_a(
    station: Station, phone: Phone, big: Artifact, small: Artifact
) -> None:
    one, other, ratio = compare(station, big, small, rounds=2, protocol=BRIEF)
    assert one.latency.n == other.latency.n == 40
    assert len(ratio.rounds) == 4
    assert ratio.ci95[1] < 1, "a quarter of the MACs is faster"
    script = next(command for command in phone.history if "litert_run" in command and "--progress" in command)
    order = [word[: len(big.sha256[:32])] for word in script.split(f"{station.runner.folder.path}/")[1:]]  # type: ignore[attr-defined]
    models = [word for word in order if word in (big.sha256[:32], small.sha256[:32])]
    assert models == [artifact.sha256[:32] for artifact in (big, small, small, big)]


def test_a_quick_look_at_two_files_has_pairs_enough_for_an_interval_and_tells_every_turn(
    station: Station, big: Artifact, small: Artifact
) -> None:
    told = []
    *_, ratio = compare(
        station, big, small, protocol=QUICK, memory=False, on_progress=lambda name, _: told.append(name)
    )
    assert len(ratio.rounds) == 6
    assert told == ["reference", "candidate", "candidate", "reference"] * 3


def test_outputs_on_the_phone_are_compared_with_this_machines(
    station: Station, big: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measure(station, {"net": big}, protocol=QUICK)["net"]
    assert found.conditions_after["outputs_difference"] < 1e-5
    assert not any("computes something else" in flag for flag in found.flags)
    answer = NativeRunner.answer

    def wrong(self: NativeRunner, artifact: Artifact, inputs: list[Path], folder: Path) -> list[Path]:
        (path,) = answer(self, artifact, inputs, folder)
        path.write_bytes((np.frombuffer(path.read_bytes(), np.float32) * np.float32(1.01)).tobytes())
        return [path]

    monkeypatch.setattr(NativeRunner, "answer", wrong)
    found = measure(station, {"net": big}, protocol=QUICK)["net"]
    assert "the phone computes something else than this machine: outputs differ by 1.00% of the largest" in found.flags
    monkeypatch.setattr(NativeRunner, "answer", lambda *_: [Path("/dev/null")])
    with pytest.raises(MeasurementError, match="no numbers, or too few"):
        measure(station, {"net": big}, protocol=QUICK)


def test_cores_that_are_asked_for_are_told_and_granted(station: Station, big: Artifact) -> None:
    last = station.facts.cores - 1
    found = measure(station, {"net": big}, protocol=QUICK, cores=(last,), memory=False)["net"]
    assert (found.device.affinity, found.device.affinity_seen) == ((last,), (last,))
    assert found.peak_memory_mib is None


def test_a_candidate_takes_three_round_trips(station: Station, big: Artifact, small: Artifact) -> None:
    with PhoneBench(station, big) as bench:
        before = station.phone.trips
        ratio, latency = bench.ratio(small, seconds=0.3)
        assert station.phone.trips - before == 3
    assert ratio.ci95[1] < 1
    assert latency.n >= 30


def test_a_timed_candidate_leaves_the_phone_with_the_next_script(
    station: Station, phone: Phone, big: Artifact, small: Artifact
) -> None:
    def there() -> set[str]:
        return {path.stem for path in phone.path(station.runner.folder.path).glob("*.tflite")}  # type: ignore[attr-defined]

    reference, candidate = big.sha256[:32], small.sha256[:32]
    with PhoneBench(station, big) as bench:
        bench.ratio(small, seconds=0.1)
        pushes = phone.history.count("sync:")
        bench.ratio(small, seconds=0.1)
        assert phone.history.count("sync:") == pushes, "timed again at once, it is there still"
        assert there() == {reference, candidate}
    measure(station, {"net": big}, protocol=QUICK)
    assert there() == {reference}


def test_what_was_amiss_while_candidates_were_timed_is_kept_once(
    station: Station, phone: Phone, big: Artifact, small: Artifact
) -> None:
    with PhoneBench(station, big) as bench:
        bench.ratio(small, seconds=0.1)
        assert station.notes == []
        phone.state.low_power = True
        for phone.state.battery_c in (41.0, 41.2):
            bench.ratio(small, seconds=0.1)
    assert station.notes == [
        "hot: thermal status 2 (moderate)",
        "hot: battery at 41.0 °C",
        "battery saver is on: switch it off",
    ]


def test_layers_take_three_round_trips_however_many_and_agree_with_the_host(station: Station) -> None:
    keys = [BIG, SMALL, BIG]
    before = station.phone.trips
    with PhoneProber(station) as prober:
        found = prober.time_ms(keys)
    assert station.phone.trips - before == 3
    assert found[0] == found[2] > found[1] > 0
    with LayerProber() as host:
        expected = host.time_ms(keys)
    assert found[1] / found[0] == pytest.approx(expected[1] / expected[0], rel=0.5), "the same kernels"


def test_layers_asked_for_later_are_not_taken_for_those_before(station: Station, phone: Phone) -> None:
    folder = station.runner.folder.path  # type: ignore[attr-defined]
    with PhoneProber(station) as prober:
        for key in (BIG, SMALL):
            prober.time_ms([key])
            there = [path.read_bytes() for path in phone.path(folder).glob("layer-*.tflite")]
            assert layer_file(key) in there


def test_outputs_computed_on_the_phone_are_those_of_the_host(station: Station, big: Artifact, tmp_path: Path) -> None:
    session = open_session(big.path, "litert")
    given = np.random.default_rng(0).standard_normal(session.input_shapes[0]).astype(np.float32)
    (tmp_path / "in.bin").write_bytes(given.tobytes())
    (answer,) = station.runner.answer(big, [tmp_path / "in.bin"], tmp_path)  # type: ignore[attr-defined]
    (expected,) = session.run([given])
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(np.frombuffer(answer.read_bytes(), np.float32), expected.ravel(), atol=1e-5)


def test_programs_are_brought_once_and_nothing_else_stays(
    station: Station, phone: Phone, big: Artifact, native: Path
) -> None:
    station.put([big])
    key = station.runner.bundle.key  # type: ignore[attr-defined]
    station.runner.__exit__(None, None, None)  # type: ignore[attr-defined]
    assert [path.name for path in phone.path(ROOT).iterdir()] == [f"bundle-{key}"]
    pushes = phone.history.count("sync:")
    with NativeRunner(station.phone, station.facts.abis):
        assert phone.history.count("sync:") == pushes, "the programs are there already"
    assert sorted(path.name for path in phone.path(f"{ROOT}/bundle-{key}").iterdir()) == sorted(
        ["complete", *json.loads((native / "x86_64/manifest.json").read_text())["files"]]
    )


def test_one_measuring_at_a_time(station: Station) -> None:
    with pytest.raises(DeviceError, match="Another edgeprune measures"), NativeRunner(station.phone, ["x86_64"]):
        pass


def test_what_an_earlier_measuring_left_is_ended(station: Station, phone: Phone) -> None:
    left = f"{ROOT}/run-{owner()}-0123456789ab"
    with orphan(phone, left):
        station.runner.folder.renew()  # type: ignore[attr-defined]
    assert phone.left_behind() == []
    assert not phone.path(left).exists()


@contextmanager
def orphan(phone: Phone, folder: str) -> Iterator[None]:
    """Something runs in a folder of the phone; it has ended in the end."""
    phone.path(folder).mkdir()
    code = f": {folder}; echo {OWN_GROUP} > {folder}/group; echo begun; while true; do sleep 1; done"
    with subprocess.Popen(["adb", "-s", phone.address, "shell", code], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        try:
            yield
            running.wait(timeout=10)
        finally:
            running.kill()


def test_the_folder_of_another_computer_is_left_alone_and_its_work_waited_for(station: Station, phone: Phone) -> None:
    folder = station.runner.folder  # type: ignore[attr-defined]
    other = f"{ROOT}/run-01234567-0123456789ab"
    phone.path(other).mkdir()
    folder.renew()
    assert phone.path(other).exists()
    os.utime(phone.path(other), (0, 0))
    folder.renew()
    assert not phone.path(other).exists(), "what nobody has touched for a day"
    with orphan(phone, other):
        with pytest.raises(DeviceError, match="Another computer measures on phone"):
            folder.renew()
        assert phone.path(other).exists()
        assert phone.running() != []
        phone.unplug()


def test_a_phone_that_came_back_ends_only_what_is_ours(station: Station, phone: Phone) -> None:
    folder = station.runner.folder  # type: ignore[attr-defined]
    stranger = subprocess.Popen(
        ["adb", "-s", phone.address, "shell", "echo begun; exec sleep 1000"], stdout=subprocess.PIPE
    )
    assert stranger.stdout is not None
    stranger.stdout.readline()
    phone.path(folder.path).rmdir()
    with orphan(phone, folder.path):
        station.runner.recover()
    phone.path(f"{folder.path}/group").write_text("1\n")
    station.runner.recover()
    left = {process.arguments[-2:] for process in phone.running() if "sleep" in process.arguments}
    assert left == {("sleep", "1000")}
    stranger.kill()
    stranger.communicate()


@pytest.mark.parametrize(
    ("content", "said"), [(b"no flatbuffer at all", "bad_model"), (b"", "bad_model")], ids=["other", "empty"]
)
def test_a_file_that_is_no_model(station: Station, big: Artifact, content: bytes, said: str) -> None:
    big.path.write_bytes(content)
    with pytest.raises(MeasurementError, match=said) as caught:
        measure(station, {"net": big}, protocol=QUICK)
    assert "Convert the model again" in caught.value.cure


def test_a_delegate_that_is_not_there_and_a_phone_of_another_kind(station: Station) -> None:
    with pytest.raises(RuntimeNotInstalled, match="no gpu delegate"):
        NativeRunner(station.phone, station.facts.abis, "gpu")
    with pytest.raises(DeviceError, match="runs riscv64; the native runners are built for"):
        NativeRunner(station.phone, ["riscv64"])


def test_allocated_memory_is_seen(station: Station) -> None:
    found = station.runner.self_check("allocate", 64).peak_mib  # type: ignore[attr-defined]
    assert found == pytest.approx(64, abs=1)


def test_an_empty_model_takes_little_memory(station: Station, layer: object) -> None:
    """The watermark is reset after the libraries were loaded: they would hide a small model."""
    found = measure(station, {"net": layer(SMALL)}, protocol=QUICK)["net"]  # type: ignore[operator]
    assert found.peak_memory_mib is not None
    assert found.peak_memory_mib < 20


def test_facts_name_the_phone_that_the_runner_fits(station: Station) -> None:
    assert read_facts(station.phone).abis == ("x86_64",)
