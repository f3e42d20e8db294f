"""Every fault of the emulated phone, seen by Debian's real adb client."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.phone import Answer, Call, Faults, Kill, Phone, State, Vanish
from tests.phone.fixtures import adb, connect

FOLDER = "/data/local/tmp"
Make = Callable[..., Phone]


@pytest.fixture
def make(tmp_path: Path, adb_server: int) -> Iterator[Make]:  # noqa: ARG001
    """make(faults=...) is a phone that nobody connected to yet."""
    with ExitStack() as stack:

        def start(**options: object) -> Phone:
            folder = tmp_path / f"phone{len(list(tmp_path.iterdir()))}"
            return stack.enter_context(Phone(folder, **options))  # type: ignore[arg-type]

        yield start


def state_of(phone: Phone, wanted: str) -> str:
    """What `adb devices` says, once it is `wanted`, or after ten seconds."""
    said = ""
    for _ in range(100):
        lines = adb("devices").stdout.splitlines()[1:]
        said = dict(line.split("\t") for line in lines if line).get(phone.address, "absent")
        if said == wanted:
            break
        time.sleep(0.1)
    return said


def nothing_runs(phone: Phone) -> bool:
    """Within five seconds."""
    for _ in range(100):
        if not phone.running():
            return True
        time.sleep(0.05)
    return False


def test_unauthorized_until_somebody_taps_allow(make: Make) -> None:
    phone = make(faults=Faults(unauthorized=True))
    adb("connect", phone.address)
    assert state_of(phone, "unauthorized") == "unauthorized"
    refused = adb("-s", phone.address, "shell", "true")
    assert refused.returncode == 1
    assert "unauthorized" in refused.stderr
    phone.faults.unauthorized = False
    adb("disconnect", phone.address)
    connect(phone)
    assert adb("shell", "echo ok").stdout == "ok\n"


def test_offline(make: Make) -> None:
    phone = make(faults=Faults(offline=True))
    adb("connect", phone.address)
    assert state_of(phone, "offline") == "offline"
    refused = adb("-s", phone.address, "shell", "true")
    assert refused.returncode == 1
    assert "offline" in refused.stderr


def test_unplugged_and_plugged_in_again(phone: Phone) -> None:
    phone.unplug()
    assert state_of(phone, "offline") in ("offline", "absent")
    assert adb("shell", "true").returncode == 1
    phone.plug_in()
    adb("connect", phone.address)
    assert state_of(phone, "device") == "device"
    assert adb("shell", "echo ok").stdout == "ok\n"


def test_unplugged_during_a_push(phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5_000_000))
    phone.faults.vanish = Vanish("push", after_bytes=1_000_000)
    pushed = adb("push", str(tmp_path / "file"), f"{FOLDER}/file")
    assert pushed.returncode == 1
    assert not phone.path(f"{FOLDER}/file").exists()


def test_unplugged_during_a_pull(phone: Phone, tmp_path: Path) -> None:
    phone.path(f"{FOLDER}/file").write_bytes(bytes(5_000_000))
    phone.faults.vanish = Vanish("pull", after_bytes=1_000_000)
    assert adb("pull", f"{FOLDER}/file", str(tmp_path / "file")).returncode == 1


def test_unplugged_during_a_command(phone: Phone) -> None:
    phone.faults.vanish = Vanish("shell", after_bytes=3, command="runner")
    assert adb("shell", "echo no fault in this one").returncode == 0
    ended = adb("shell", "echo abc; sleep 0.3; echo def; sleep 1000 # runner")
    assert ended.stdout == "abc\n"  # and adb 29 returns 0: only an end marker tells a whole answer from half of one
    assert nothing_runs(phone)
    assert state_of(phone, "offline") in ("offline", "absent")


def test_an_old_phone_has_no_exit_codes(make: Make) -> None:
    phone = make(faults=Faults(legacy=True))
    connect(phone)
    ended = adb("shell", "echo out; echo err >&2; exit 7")
    assert ended.returncode == 0
    assert sorted(ended.stdout.split()) == ["err", "out"]
    assert "shell_v2" not in adb("features").stdout


def test_a_full_phone_takes_no_file(phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(300_000))
    phone.faults.free_bytes = 200_000
    pushed = adb("push", str(tmp_path / "file"), f"{FOLDER}/file")
    assert pushed.returncode == 1
    assert "No space left on device" in pushed.stdout + pushed.stderr
    assert not phone.path(f"{FOLDER}/file").exists()
    assert int(adb("shell", "df -k /data").stdout.splitlines()[1].split()[3]) < 200


def test_a_read_only_folder_takes_no_file(phone: Phone) -> None:
    phone.faults.read_only = True
    pushed = adb("push", __file__, f"{FOLDER}/file")
    assert pushed.returncode == 1
    assert "Read-only file system" in pushed.stdout + pushed.stderr
    assert adb("shell", f"mkdir {FOLDER}/new").returncode == 1
    assert adb("shell", f"echo x > {FOLDER}/new").returncode != 0
    assert list(phone.path(FOLDER).iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code", "trace"), [(signal.SIGKILL, 137, "lowmemorykiller"), (signal.SIGSEGV, 139, "SIGSEGV")]
)
def test_a_program_killed_or_crashed(phone: Phone, number: signal.Signals, code: int, trace: str) -> None:
    phone.faults.kill = Kill("sleep 1000", number)
    assert adb("shell", f"cd {FOLDER} && sleep 1000").returncode == code
    assert trace in adb("logcat", "-d").stdout
    assert nothing_runs(phone)


def test_a_command_that_hangs_is_gone_with_its_host(phone: Phone) -> None:
    phone.faults.hang = "runner"
    assert adb("shell", "true").returncode == 0
    with pytest.raises(subprocess.TimeoutExpired):
        adb("shell", "./runner", timeout=1)
    assert nothing_runs(phone)


def test_a_program_that_hangs_is_gone_with_its_host(phone: Phone) -> None:
    phone.faults.kill = Kill("sleep 1", signal.SIGSTOP)
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        adb("shell", "echo started; sleep 1; echo done", timeout=3)
    assert caught.value.stdout == b"started\n"
    phone.faults.kill = None
    assert nothing_runs(phone)


def test_it_heats_up_and_throttles(make: Make) -> None:
    phone = make(state=State(battery_c=34.0, heating_c_per_s=20.0))
    connect(phone)

    def look() -> tuple[int, int]:
        status = adb("shell", "dumpsys thermalservice | grep '^Thermal Status'").stdout
        battery = adb("shell", "dumpsys battery | grep temperature").stdout
        return int(status.split(": ")[1]), int(battery.split(": ")[1])

    before = look()
    time.sleep(0.5)
    after = look()
    assert after[0] > before[0]
    assert after[1] > before[1]
    phone.state = State(battery_c=34.0, heating_c_per_s=-1000.0)
    assert look() == (0, 250)


def test_low_battery_and_screen_off(make: Make) -> None:
    phone = make(state=State(battery_percent=9, plugged=False, screen_on=False))
    connect(phone)
    battery = adb("shell", "dumpsys battery").stdout
    assert "level: 9\n" in battery
    assert "USB powered: false" in battery
    assert "mWakefulness=Asleep" in adb("shell", "dumpsys power").stdout
    adb("shell", "input keyevent KEYCODE_WAKEUP")
    assert "mWakefulness=Awake" in adb("shell", "dumpsys power").stdout
    phone.state = State(screen_on=False, screen_stuck=True)
    adb("shell", "input keyevent KEYCODE_WAKEUP")
    assert "mWakefulness=Asleep" in adb("shell", "dumpsys power").stdout


def test_two_phones(make: Make) -> None:
    first, second = make(serial="A"), make(serial="B")
    connect(first)
    connect(second)
    assert "more than one device" in adb("shell", "true").stderr
    for phone in (first, second):
        assert adb("-s", phone.address, "shell", "getprop ro.serialno").stdout == phone.serial + "\n"


def test_a_serial_number_with_odd_characters(make: Make) -> None:
    phone = make(serial="-E P$(id)'\";ü")
    connect(phone)
    assert adb("shell", "getprop ro.serialno").stdout == "-E P$(id)'\";ü\n"


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="needs IPv6 in the kernel")
def test_an_address_with_odd_characters(make: Make) -> None:
    phone = make()
    assert adb("connect", phone.odd_address).stdout.startswith("connected")
    assert adb("-s", phone.odd_address, "shell", "echo ok").stdout == "ok\n"
    assert f"{phone.odd_address}\tdevice" in adb("devices").stdout


def test_a_phone_that_lies(phone: Phone) -> None:
    phone.faults.output = lambda command, said: said[: len(said) // 2] if "runner" in command else said
    assert adb("shell", "echo 12345678 # runner").stdout == "1234"
    assert adb("shell", "echo 12345678").stdout == "12345678\n"


def test_any_android_program_can_be_replaced(phone: Phone) -> None:
    phone.programs["dumpsys"] = lambda _phone, call: Answer(f"{call.arguments[1]}?\n", code=3)
    done = adb("shell", "dumpsys 'battery x'")
    assert (done.stdout, done.returncode) == ("battery x?\n", 3)


def test_a_replaced_program_that_breaks_says_so(phone: Phone) -> None:
    phone.programs["dumpsys"] = lambda _phone, call: Answer(call.arguments[7])
    done = adb("shell", "dumpsys battery")
    assert done.returncode == 255
    assert "IndexError" in done.stderr


def test_an_app_is_started_by_am(phone: Phone) -> None:
    def app(phone: Phone, arguments: list[str]) -> None:
        phone.path("/data/data/org.x/files/result").write_text(arguments[-1])

    missing = adb("shell", "am start -n org.x/.Main --es run 'a b'")
    assert missing.returncode == 1
    assert "does not exist" in missing.stderr
    phone.install("org.x")
    phone.apps["org.x"] = app
    assert adb("shell", "am start -n org.x/.Main --es run 'a b'").returncode == 0
    assert adb("shell", "run-as org.x cat files/result").stdout == "a b"
    assert adb("shell", "run-as org.y cat files/result").returncode == 1
    assert Call(("am", "start", "-n", "org.x/.Main", "--es", "run", "a b")).arguments in phone.calls


def test_the_adb_server_restarts(phone: Phone) -> None:
    adb("kill-server")
    connect(phone)
    assert adb("shell", "echo ok").stdout == "ok\n"
