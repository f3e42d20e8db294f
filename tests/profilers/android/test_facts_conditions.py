"""What a phone says about itself, and when it is fit to measure."""

import pytest

from profilers.android import conditions, facts
from profilers.android.adb import Adb
from profilers.android.adb import Phone as Behind
from profilers.android.facts import Cluster, parse_cores, parse_facts
from profilers.errors import DeviceError
from tests.phone import Phone

# Values of a Pixel 6 in the layout of getprop, /sys and df; before Android 12 there is no ro.soc.*.
PIXEL = """[ro.product.manufacturer]: [Google]
[ro.product.model]: [Pixel 6]
[ro.product.device]: [oriole]
[ro.soc.manufacturer]: [Google]
[ro.soc.model]: [Tensor]
[ro.board.platform]: [gs101]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.build.fingerprint]: [google/oriole/oriole:14/x]
kernel=5.10.177-android13-4
memory_kb=MemTotal: 7819268 kB
cpu=0 1803000 250
cpu=1 1803000 250
cpu=2 1803000 250
cpu=3 1803000 250
cpu=4 2253000 620
cpu=5 2253000 620
cpu=6 2802000 1024
cpu=7 2802000 1024
free=/dev/block/dm-43 112638380 50638380 62000000 45% /data/user/0
"""


def test_a_phone_is_read_and_its_serial_stays_here():
    found = parse_facts("SECRET", PIXEL)
    assert (found.name, found.soc, found.android, found.abis[0]) == (
        "Google Pixel 6",
        "Google Tensor",
        "14",
        "arm64-v8a",
    )
    assert [str(cluster) for cluster in found.clusters] == ["4 at 1.80 GHz", "2 at 2.25 GHz", "2 at 2.80 GHz"]
    assert (found.cores, found.memory_mib, found.free_mib, found.kind) == (8, 7636.0, 60546.9, "measured")
    device = found.describe("litert", "2.3.0", 1, libc="glibc")
    assert "SECRET" not in repr(device) + repr(found) + found.fingerprint()
    assert len(device.serial_sha256) == 16


def test_odd_answers_are_no_reason_to_stop():
    odd = PIXEL.replace("sdk]: [34]", "sdk]: [VanillaIceCream]").replace("cpu=6 2802000 1024", "cpu=6 <unsupported> x")
    found = parse_facts("A", odd.replace("cpu=7 2802000 1024", "cpu=7") + "cpu=\n")
    assert (found.sdk, found.cores) == (0, 8)
    assert found.clusters[0] == Cluster((6, 7), 0, 0), "what it does not tell is 0"


def test_the_fingerprint_is_one_of_the_model_and_never_that_of_an_emulated_phone():
    pixel = parse_facts("A", PIXEL)
    assert parse_facts("B", PIXEL).fingerprint() == pixel.fingerprint()
    assert parse_facts("B", PIXEL).serial_sha256 != pixel.serial_sha256
    emulated = parse_facts("A", PIXEL + "[ro.edgeprune.emulated]: [1]\n")
    assert emulated.kind == "emulated"
    assert emulated.fingerprint() != pixel.fingerprint()
    assert parse_facts("A", PIXEL.replace("2802000", "2850000")).fingerprint() != pixel.fingerprint()


def test_old_phones_and_those_that_hide_their_cores():
    old = PIXEL.replace("[ro.soc.manufacturer]: [Google]\n[ro.soc.model]: [Tensor]\n", "")
    assert parse_facts("A", old).soc == "gs101"
    blind = "\n".join(line for line in PIXEL.splitlines() if not line.startswith(("cpu=", "free=", "memory")))
    found = parse_facts("A", blind + "\ncpu=0 0 0\ncpu=1 0 0\n")
    assert (found.clusters, found.memory_mib, found.free_mib) == ((Cluster((0, 1), 0, 0),), None, None)
    with pytest.raises(DeviceError, match="Android version"):
        parse_facts("A", "sh: getprop: not found")


def test_cores_by_name_and_mask():
    clusters = parse_facts("A", PIXEL).clusters
    assert parse_cores("little", clusters) == (0, 1, 2, 3)
    assert parse_cores("big", clusters) == (4, 5, 6, 7)
    assert parse_cores("f0", clusters) == (4, 5, 6, 7)
    assert parse_cores("81", clusters) == (0, 7)
    for wrong, said in (("100", "[8]"), ("0", "no core"), ("fast", "hexadecimal")):
        with pytest.raises(ValueError, match=said.replace("[", r"\[")):
            parse_cores(wrong, clusters)
    with pytest.raises(ValueError, match="alike"):
        parse_cores("big", clusters[:1])


@pytest.fixture
def behind(phone: Phone) -> Behind:
    return Behind(Adb(), phone.address)


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_one_round_trip_reads_the_emulated_phone(phone: Phone, behind: Behind):
    found = facts.read_facts(behind)
    assert behind.trips == 1
    assert (found.kind, found.android, found.free_mib) == ("emulated", "14", 40960.0)
    assert [cluster.cores for cluster in found.clusters] == [tuple(sorted(cores)) for cores in _cores_by_speed(phone)]


def _cores_by_speed(phone: Phone) -> list[list[int]]:
    by_khz: dict[int, list[int]] = {}
    number = 0
    for cluster in phone.clusters:
        for _ in range(cluster.cores):
            by_khz.setdefault(cluster.khz // 1000, []).append(number)
            number += 1
    return [by_khz[khz] for khz in sorted(by_khz)]


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_cool_charged_phone_is_measured_at_once(phone: Phone, behind: Behind):
    now, doubts = conditions.wait_until_fit(behind)
    assert doubts == ()
    assert (now["battery_percent"], now["battery_c"], now["thermal_status"]) == (87, 28.1, 0)
    assert (now["charging"], now["low_power"], now["awake"]) == (True, False, True)
    phone.state.battery_c = 31.0
    assert conditions.flags(now, conditions.snapshot(behind)) == ("the battery warmed by 2.9 °C",)


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_hot_phone_is_waited_for_and_told_why(phone: Phone, behind: Behind):
    phone.state.battery_c = 40.0
    told = []

    def cool(waited: float, of: float, why: str) -> None:
        told.append(why)
        assert waited <= of == 60
        phone.state.battery_c = 30.0

    _, doubts = conditions.wait_until_fit(behind, patience_s=60, poll_s=0, on_wait=cool)
    assert doubts == ()
    assert told == ["hot: thermal status 2 (moderate); hot: battery at 40.0 °C"]


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.parametrize(
    ("state", "doubt"),
    [
        ({"battery_c": 36.0}, "hot: battery at 36.0 °C"),
        ({"battery_percent": 12}, "battery at 12 %, below 50 %"),
        ({"low_power": True}, "battery saver is on"),
        ({"screen_on": False, "screen_stuck": True}, "screen off"),
    ],
)
def test_patience_ends_and_the_doubt_stays(phone: Phone, behind: Behind, state: dict[str, object], doubt: str):
    for name, value in state.items():
        setattr(phone.state, name, value)
    _, doubts = conditions.wait_until_fit(behind, patience_s=0)
    assert any(doubt in found for found in doubts)


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_a_dark_screen_is_woken(phone: Phone, behind: Behind):
    phone.state.screen_on = False
    now, doubts = conditions.wait_until_fit(behind)
    assert (now["awake"], doubts) == (True, ())


def test_what_a_phone_does_not_tell_is_none_and_no_doubt():
    now = conditions.parse_conditions("== battery\nCan't find service: battery\n== end\n")
    assert now["battery_percent"] is now["thermal_status"] is now["awake"] is now["low_power"] is None
    assert conditions.flags_now(now) == ()
    assert conditions.flags(now, now) == ()
