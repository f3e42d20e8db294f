"""Every fault of a phone ends in a clear message or in a finished measurement, and leaves nothing running."""

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from converters.artifact import Artifact
from profilers.android.folder import ROOT
from profilers.android.layer_probe import PhoneProber
from profilers.android.measure import measure
from profilers.android.station import Station
from profilers.errors import ConnectionLost, DeviceError, MeasurementError, ProfilerError
from profilers.measurement import Measurement
from profilers.protocol import QUICK, Protocol
from tests.phone import Kill, Phone, Vanish
from tests.profilers.android.conftest import BIG

pytestmark = [pytest.mark.debian("adb"), pytest.mark.debian("proot")]
SLOW = Protocol(warmup_runs=0, warmup_seconds=1.0, min_runs=20, min_seconds=0.0, max_runs=20, max_seconds=20.0)


def quick(station: Station, artifact: Artifact, protocol: Protocol = QUICK) -> Measurement:
    return measure(station, {"net": artifact}, rounds=1, protocol=protocol, memory=False)["net"]


def while_it_runs(phone: Phone, act: Callable[[], object]) -> threading.Thread:
    """Do something as soon as the runner is seen on the phone."""

    def wait() -> None:
        while not any("litert_run" in " ".join(process.arguments) for process in phone.running()):
            time.sleep(0.01)
        time.sleep(0.2)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGKILL, "killed on the phone, most likely for lack of memory"), (signal.SIGSEGV, "died on the phone")],
)
def test_a_runner_that_is_killed_or_crashes(
    station: Station, phone: Phone, big: Artifact, number: signal.Signals, said: str
) -> None:
    phone.faults.kill = Kill("litert_run", number, after_s=0.2)
    with pytest.raises(MeasurementError, match=said) as caught:
        quick(station, big, SLOW)
    assert ("lowmemorykiller" if number == signal.SIGKILL else "SIGSEGV") in caught.value.message, "the log's tail"
    assert caught.value.cure
    assert phone.left_behind() == []
    phone.faults.kill = None
    assert quick(station, big).latency.n == 30, "the next measurement works"


def test_a_batch_of_layers_that_crashes_tells_the_end_of_the_log(station: Station, phone: Phone) -> None:
    phone.state.write_log("F", "libc", "the last that was heard of it")
    place = f"{ROOT}/bundle-{station.runner.bundle.key}"  # type: ignore[attr-defined]
    phone.path(f"{place}/litert_run").write_bytes(b"torn")
    with PhoneProber(station) as prober, pytest.raises(MeasurementError, match=r"died on the phone") as caught:
        prober.time_ms([BIG])
    assert "litert_run: file too short" in caught.value.message
    assert "the last that was heard of it" in caught.value.message
    assert phone.left_behind() == []


def test_a_runner_that_hangs_is_given_up_and_ended(station: Station, phone: Phone, big: Artifact) -> None:
    phone.faults.hang = "litert_run"
    started = time.monotonic()
    with pytest.raises(DeviceError, match="no sign for 5 s"):
        quick(station, big)
    assert time.monotonic() - started < 60
    assert phone.left_behind() == []


def test_unplugged_for_a_moment_the_measurement_finishes_and_says_so(
    station: Station, phone: Phone, big: Artifact
) -> None:
    def pull() -> None:
        phone.unplug()
        time.sleep(0.3)
        phone.plug_in()

    thread = while_it_runs(phone, pull)
    found = quick(station, big, SLOW)
    thread.join()
    assert found.latency.n == 20
    assert any("came back" in flag for flag in found.flags)
    assert station.phone.serial not in json.dumps(found.to_json()), "a serial number is kept only hashed"
    assert phone.left_behind() == []


def test_an_adb_server_restarted_in_mid_run(station: Station, phone: Phone, big: Artifact) -> None:
    thread = while_it_runs(phone, lambda: subprocess.run(["adb", "kill-server"], check=True, capture_output=True))
    found = quick(station, big, SLOW)
    thread.join()
    assert found.latency.n == 20
    assert phone.left_behind() == []


@pytest.mark.parametrize("during", ["push", "shell"])
def test_unplugged_for_good(station: Station, phone: Phone, big: Artifact, during: str) -> None:
    if during == "push":
        phone.faults.vanish = Vanish("push", after_bytes=50_000)
    else:
        thread = while_it_runs(phone, phone.unplug)
    with pytest.raises(ConnectionLost, match="went away") as caught:
        quick(station, big, SLOW)
    assert "cable" in caught.value.cure
    if during == "shell":
        thread.join()
    assert phone.left_behind() == [], "the shell ends with its connection"
    phone.plug_in()
    assert station.phone.come_back(5)


@pytest.mark.parametrize(("fault", "value"), [("free_bytes", 10_000), ("read_only", True)])
def test_no_room_on_the_phone(station: Station, phone: Phone, big: Artifact, fault: str, value: object) -> None:
    setattr(phone.faults, fault, value)
    with pytest.raises(DeviceError, match=r"No space left|Read-only") as caught:
        quick(station, big)
    assert "tflite could not be copied to the phone" in caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize(
    ("state", "doubt"),
    [
        ({"battery_c": 37.0}, "hot: battery at 37.0 °C"),
        ({"battery_percent": 12}, "battery at 12 %"),
        ({"low_power": True}, "battery saver"),
        ({"screen_on": False, "screen_stuck": True}, "screen off"),
        ({"heating_c_per_s": 60.0}, "after measuring: hot"),
    ],
)
def test_doubtful_conditions_are_flagged(
    station: Station, phone: Phone, big: Artifact, state: dict[str, object], doubt: str
) -> None:
    for name, value in state.items():
        setattr(phone.state, name, value)
    phone.state._since = time.monotonic()
    found = quick(station, big)
    assert found.latency.n == 30
    assert any(doubt in flag for flag in found.flags), found.flags


def test_a_series_that_slows_down_is_flagged() -> None:
    from profilers.statistics import stability_flags

    throttled = [1.0] * 75 + [1.3] * 25
    assert any("slowing down: the last quarter is 30% slower" in flag for flag in stability_flags(throttled))


def edited(change: Callable[[bytes], bytes]) -> Callable[[str, bytes], bytes]:
    """What a runner prints, changed; all else as it is."""
    return lambda command, output: change(output) if "litert_run" in command else output


LIES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda text: text.replace(b'"samples_ns": [', b'"samples_ns": [[[', 1),
    "nan": lambda text: text.replace(b'"load_ms": ', b'"load_ms": NaN, "x": ', 1),
    "negative": lambda text: text.replace(b'"samples_ns": [', b'"samples_ns": [-', 1),
    "infinite": lambda text: text.replace(b'"first_ms": ', b'"first_ms": 1e999, "x": ', 1),
    "no samples": lambda text: text.replace(b'"samples_ns": [', b'"samples_ns": [], "x": [', 1),
    "wrong type": lambda text: text.replace(b'"threads": 1', b'"threads": "one"', 1),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_phone_that_lies_is_not_believed(station: Station, phone: Phone, big: Artifact, lie: str) -> None:
    phone.faults.output = edited(LIES[lie])
    with pytest.raises(ProfilerError, match="cannot be believed"):
        quick(station, big)
    assert phone.left_behind() == []


def test_an_answer_without_a_result_is_not_believed(station: Station, phone: Phone, big: Artifact) -> None:
    phone.faults.output = edited(lambda text: b"\n".join(x for x in text.split(b"\n") if not x.startswith(b"{")))
    with pytest.raises(MeasurementError, match="died on the phone"):
        quick(station, big)
