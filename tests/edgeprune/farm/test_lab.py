"""A real Ray cluster of several nodes, real `edgeprune farm join`, emulated phones; what is lost is made good."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import Result

from converters.artifact import Artifact, sha256
from edgeprune.config import Config
from edgeprune.progress import LoggedProgress
from edgeprune.targets.farm import FarmTarget, connect
from edgeprune.targets.target import on_each
from profilers.errors import DeviceError, MeasurementError
from profilers.farm import cluster
from profilers.farm.cluster import Farm
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerKey
from profilers.store import Store
from tests.edgeprune.farm.lab import Host, head, wait_until
from tests.phone import Phone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.debian("adb"),
    pytest.mark.debian("proot"),
    pytest.mark.debian("busybox-static"),
    pytest.mark.usefixtures("native"),
]
KEYS = [LayerKey("linear", 8 * n, 16) for n in range(1, 121)]
Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with head() as found:
        yield found


@pytest.fixture
def lab(tmp_path: Path, address: str) -> Iterator[Callable[..., tuple[Host, list[Phone]]]]:
    """lab(2): a host with two phones that have joined, and these phones."""
    with ExitStack() as stack:
        count = 0

        def start(phones: int, model: str = "EdgePrune emulated phone") -> tuple[Host, list[Phone]]:
            nonlocal count
            count += 1
            made = [
                stack.enter_context(Phone(tmp_path / f"phone-{count}-{n}", serial=f"EMULATED{count}{n}", model=model))
                for n in range(phones)
            ]
            host = Host(tmp_path / f"host-{count}", address, made)
            stack.callback(host.close)
            host.wait_for("joined", phones)
            return host, made

        yield start


@pytest.fixture
def target(address: str) -> Iterator[Callable[[], FarmTarget]]:
    """The one kind of phone of the farm, as `optimize --farm` has it."""
    with ExitStack() as stack:

        def make() -> FarmTarget:
            (found,) = connect(Config(target="android", farm=address), LoggedProgress(), stack)
            return found

        yield make


@pytest.fixture
def given(enlarged: list[str]) -> list[str]:
    """What a network computes on 8x8 is a tenth of what a call of the emulated phone costs."""
    return enlarged


def artifact(folder: Path, channels: int) -> Artifact:
    path = folder / f"{channels}.tflite"
    path.write_bytes(layer_file(LayerKey("conv2d", channels, 64, (28, 28), (28, 28), (3, 3), padding=(1, 1))))
    return Artifact("litert", path, (), (), "float32", sha256(path), path.stat().st_size)


def serials(phones: Sequence[Phone]) -> set[str]:
    from profilers.android.serials import digest

    return {digest(phone.address) for phone in phones}


def test_two_phones_on_one_host_and_one_on_another_work_alike(
    lab: Callable[..., tuple[Host, list[Phone]]],
    target: Callable[[], FarmTarget],
    address: str,
    tmp_path: Path,
    cli: Cli,
) -> None:
    (one, two), (other, third) = lab(2), lab(1)
    phones = [*two, *third]
    with closing(Farm(address)) as farm:
        assert {phone.serial_sha256 for phone in farm.phones()} == serials(phones)
        assert len({phone.kind for phone in farm.phones()}) == 1
        assert {phone.measures for phone in farm.phones()} == {"emulated"}
        assert not farm.beside_a_phone(), "but at the head"
        listed = cli("farm", "list", address, "--json")
        assert listed.exit_code == 0, listed.stderr
        shown = json.loads(listed.stdout)
        assert [phone["model"] for phone in shown["phones"]] == ["EdgePrune emulated phone"] * 3
        assert list(shown["free"].values()) == [3]
        assert not any(phone.address in listed.stdout + one.said() + other.said() for phone in phones)
        farm_target = target()
        with farm_target.prober() as prober:
            times = prober.time_ms([*KEYS, KEYS[0]])
        assert len(times) == len(KEYS) + 1
        assert times[0] == times[-1]
        assert all(ms >= 0 for ms in times)
        assert sum(times) > 0
        assert all(any("--batch" in call for call in phone.history) for phone in phones), "every phone has its share"
        dense, small = artifact(tmp_path, 64), artifact(tmp_path, 16)
        with farm_target.bench(dense) as bench:
            found = bench.ratios([small, dense, small], 0.3)  # type: ignore[attr-defined]
        assert [ratio.median < 0.9 for ratio, _ in found] == [True, False, True]
        measured = farm_target.measure({"dense": dense}, memory=False)["dense"]
        assert measured.kind == "emulated"
        assert measured.device.serial_sha256 in serials(phones)
        assert Store().measurements(dense.sha256, farm_target.fingerprint(), "litert", 1) == [measured]


def test_a_phone_and_a_host_that_are_lost_in_mid_run_cost_only_their_own_work(
    lab: Callable[..., tuple[Host, list[Phone]]],
    target: Callable[[], FarmTarget],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (staying, (lost, kept)), (dying, (gone,)) = lab(2), lab(1)
    farm_target = target()
    caplog.set_level("DEBUG", "profilers.farm")
    dense, small = artifact(tmp_path, 64), artifact(tmp_path, 16)
    answers: list[float] = []

    def work() -> None:
        with farm_target.bench(dense) as bench:
            answers.extend(r.median for r, _ in bench.ratios([small] * 12, 3.0))  # type: ignore[attr-defined]

    worker = threading.Thread(target=work)
    worker.start()
    for phone in (lost, gone):
        wait_until(lambda phone=phone: bool(phone.running()), lambda: "nothing runs on the phone")  # type: ignore[misc]
    lost.unplug()
    dying.die()
    staying.wait_for("went away")
    worker.join(timeout=400)
    assert len(answers) == 12, "every candidate was measured"
    assert all(answer < 0.9 for answer in answers)
    assert farm_target.width == 1
    lost.plug_in()
    staying.adb("connect", lost.address)
    staying.wait_for("joined", 3)
    assert farm_target.width == 2, "a phone that comes back is used again"
    assert kept.left_behind() == []
    wait_until(lambda: "marked dead" in caplog.text, lambda: f"Ray told of no lost node: {caplog.text}")
    said = capsys.readouterr()
    assert said.out + said.err == "", "what Ray tells is no part of a result"


def test_two_kinds_of_phones_errors_of_the_work_and_a_farm_that_is_empty(
    lab: Callable[..., tuple[Host, list[Phone]]], address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (_, one), (dying, other) = lab(1), lab(1, "EdgePrune other emulated phone")
    models = ["EdgePrune emulated", "other"]
    with ExitStack() as stack:
        with pytest.raises(DeviceError, match="2 kinds of phones"):
            list(connect(Config(target="android", farm=address), LoggedProgress(), stack))
        both = list(connect(Config(target="android", farm=address, phone_model=models), LoggedProgress(), stack))
        assert len({target.fingerprint() for target in both}) == 2
        file = artifact(tmp_path, 16)
        found = on_each(both, lambda target: target.measure({"net": file}, memory=False)["net"])
        assert [{m.device.serial_sha256} for m in found] == [serials(one), serials(other)]
        assert [m.device.name for m in found] == [
            "EdgePrune emulated phone",
            "EdgePrune other emulated phone",
        ]
        file.path.write_bytes(b"no model")
        bad = replace(file, sha256=sha256(file.path), size_bytes=8)
        with pytest.raises(MeasurementError):
            both[0].measure({"net": bad}, memory=False)
        monkeypatch.setattr(cluster, "ALONE_S", 2.0)
        dying.die()
        with pytest.raises(DeviceError, match="no such phone"), both[1].prober() as prober:
            prober.time_ms(KEYS)


def test_optimize_on_a_farm_that_loses_a_phone(
    lab: Callable[..., tuple[Host, list[Phone]]], cli: Cli, given: list[str], address: str, tmp_path: Path
) -> None:
    (host, phones), lost = lab(2), []

    def unplug() -> None:
        """The first phone that times layers."""
        wait_until(lambda: any("--batch" in call for phone in phones for call in phone.history), lambda: "no layers")
        lost.extend(phone for phone in phones if any("--batch" in call for call in phone.history))
        lost[0].unplug()

    saboteur = threading.Thread(target=unplug)
    saboteur.start()
    farm = ("--target", "android", "--farm", address, "--epochs", "1", "--formats", "litert", "-o", "run")
    done = cli("optimize", *given, "--latency", "85%", *farm)
    saboteur.join()
    assert done.exit_code in (0, 4), done.stderr
    host.wait_for("went away")
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["device"]["kind"] == "emulated"
    assert [r["source"] for r in result["budget"]["requirements"]] == ["emulated"]
    kept = "".join(path.read_text() for path in (tmp_path / "run").rglob("*") if path.suffix in (".json", ".yaml"))
    assert not any(phone.address in kept + done.stdout + done.stderr for phone in phones)
    probes = re.search(r"(\d+) layers emulated now, 0 known", " ".join(done.stderr.split()))
    assert probes is not None, done.stderr
    assert int(probes[1]) > 50
    assert sum(len(phone.running()) for phone in phones if phone not in lost) == 0
