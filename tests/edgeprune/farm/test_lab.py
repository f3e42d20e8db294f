"""A real Ray cluster of several nodes, real `edgeprune farm join`, emulated phones; what is lost is made good."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from typer.testing import Result

from converters.artifact import Artifact, sha256
from edgeprune.config import Config
from edgeprune.progress import LoggedProgress
from edgeprune.targets.farm import FarmTarget, connect
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
    lab: Callable[..., tuple[Host, list[Phone]]], target: Callable[[], FarmTarget], tmp_path: Path
) -> None:
    (staying, (lost, kept)), (dying, (gone,)) = lab(2), lab(1)
    farm_target = target()
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
