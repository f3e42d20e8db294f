"""Our side of adb against the real client: exit codes, endings, losses, and nothing left running on the phone."""

import stat
import threading
from pathlib import Path

import pytest

from profilers.android import adb as adb_module
from profilers.android.adb import Adb, parse_version
from profilers.android.adb import Phone as Behind
from profilers.errors import ConnectionLost, DeviceError, ScriptFailed
from tests.phone import Faults, Phone, Vanish
from tests.phone.fixtures import connect

pytestmark = [pytest.mark.debian("adb"), pytest.mark.debian("proot")]
TMP = "/data/local/tmp"


@pytest.fixture
def behind(phone: Phone) -> Behind:
    """The emulated phone as the profiler sees it."""
    return Behind(Adb(), phone.address)


@pytest.mark.usefixtures("adb_server")
@pytest.mark.parametrize("legacy", [False, True], ids=["shell v2", "no shell v2"])
def test_exit_codes_and_all_output_on_every_kind_of_phone(tmp_path: Path, legacy: bool) -> None:
    with Phone(tmp_path / "phone", faults=Faults(legacy=legacy)) as phone:
        connect(phone)
        behind, lines = Behind(Adb(), phone.address), []
        code = behind.converse("echo out; echo err >&2; printf unfinished; exit 7", lines.append, silence_s=10)
        assert (code, lines) == (7, ["out", "err", "unfinished"])
        assert behind.converse("cat", lines.append, silence_s=10) == 0, "stdin is empty, not ours"
        assert behind.run("echo one; echo; echo two") == "one\ntwo"
        with pytest.raises(ScriptFailed, match="exit code 3: sorry"):
            behind.run("echo sorry; exit 3")
        assert behind.trips == 4


def test_a_silent_script_is_ended_on_the_phone_too(phone: Phone, behind: Behind) -> None:
    with pytest.raises(DeviceError, match=r"no sign for 0\.5 s.*Last said: begun"):
        behind.run("echo begun; sleep 100", timeout_s=0.5)
    assert phone.left_behind() == []


def test_an_adb_that_stays_after_the_end_is_not_waited_for(tmp_path: Path) -> None:
    program = tmp_path / "adb"
    program.write_text(
        f"""#!/bin/bash
[ "$1" = version ] && exec echo Android Debug Bridge version 1.0.41
sh -c "$4"; sleep 3; touch {tmp_path}/late
"""
    )
    program.chmod(0o755)
    assert Behind(Adb(str(program)), "A").run("echo hi") == "hi"
    assert not (tmp_path / "late").exists()


def test_an_error_of_the_listener_ends_the_script(phone: Phone, behind: Behind) -> None:
    def stop(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        behind.converse("echo begun; sleep 100", stop, silence_s=30)
    assert phone.left_behind() == []


def test_a_phone_unplugged_in_the_middle_is_told_apart_from_a_script_that_ended(phone: Phone, behind: Behind) -> None:
    phone.faults.vanish = Vanish("shell", after_bytes=20000, command="yes")
    with pytest.raises(ConnectionLost, match="went away") as caught:
        behind.run("yes | head -n 100000")
    assert "cable" in caught.value.cure
    phone.plug_in()
    assert behind.come_back()
    assert behind.run("echo again") == "again"


def test_a_phone_that_comes_back_is_waited_for_and_one_that_does_not_is_not(phone: Phone, behind: Behind) -> None:
    phone.unplug()
    back = threading.Timer(0.7, phone.plug_in)
    back.start()
    assert behind.come_back(within_s=20)
    back.join()
    phone.unplug()
    assert not behind.come_back(within_s=0.1)


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "$(touch x)", "-rf", "ü;b&c|d", "`id`"])
def test_files_of_any_name_arrive_and_come_back(phone: Phone, behind: Behind, tmp_path: Path, name: str) -> None:
    sent = tmp_path / name
    sent.write_bytes(b"weights" * 1000)
    behind.push([sent], TMP)
    assert [path.name for path in phone.path(TMP).iterdir()] == [name]
    behind.pull(f"{TMP}/{name}", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == sent.read_bytes()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [({"free_bytes": 1000}, "No space left on device"), ({"read_only": True}, "Read-only file system")],
)
def test_a_phone_that_takes_no_files_says_why(
    phone: Phone, behind: Behind, tmp_path: Path, fault: dict[str, object], reason: str
) -> None:
    for name, value in fault.items():
        setattr(phone.faults, name, value)
    (tmp_path / "model").write_bytes(bytes(1_000_000))
    with pytest.raises(DeviceError, match=f"model could not be copied to the phone.*({reason})") as caught:
        behind.push([tmp_path / "model"], TMP)
    assert caught.value.cure


@pytest.mark.parametrize("during", ["push", "pull"])
def test_unplugged_in_mid_copy(phone: Phone, behind: Behind, tmp_path: Path, during: str) -> None:
    (tmp_path / "model").write_bytes(bytes(3_000_000))
    if during == "pull":
        behind.push([tmp_path / "model"], TMP)
    phone.faults.vanish = Vanish(during, after_bytes=500_000)
    copy = {
        "push": lambda: behind.push([tmp_path / "model"], TMP),
        "pull": lambda: behind.pull(f"{TMP}/model", tmp_path / "back"),
    }
    with pytest.raises(ConnectionLost):
        copy[during]()
    assert {path.name for path in tmp_path.iterdir()} <= {"model", "phone", "home", "cache"}, "half a file was left"


def test_an_adb_server_that_was_restarted_brings_the_phone_back(phone: Phone, behind: Behind) -> None:
    adb = behind.adb
    adb.call("kill-server")
    with pytest.raises(ConnectionLost):
        behind.run("echo lost")
    assert behind.come_back()
    assert behind.run("echo found") == "found"
    assert phone.left_behind() == []


def fake_adb(folder: Path, version: str) -> Adb:
    program = folder / "adb"
    program.write_text(f"#!/bin/sh\nprintf '%b' '{version}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return Adb(str(program))


def test_adb_too_old_or_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"version 1\.0\.32, too old: 1\.0\.39 is needed"):
        fake_adb(tmp_path, "Android Debug Bridge version 1.0.32\\n").call("devices")
    with pytest.raises(DeviceError, match="does not tell its version"):
        fake_adb(tmp_path, "Audio Database 3\\n").call("devices")
    assert parse_version("Android Debug Bridge version 1.0.41\nVersion 35.0.2-12147458\n") == (
        (1, 0, 41),
        "35.0.2-12147458",
    )


def test_adb_missing_or_not_runnable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="adb was not found") as caught:
        Adb()
    assert "platform-tools" in caught.value.cure
    (tmp_path / "file").write_text("no program")
    with pytest.raises(DeviceError, match="cannot be run: Permission denied"):
        Adb(str(tmp_path / "file")).call("devices")
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    (tmp_path / "platform-tools").mkdir()
    fake_adb(tmp_path / "platform-tools", "")
    assert adb_module.find_adb() == str(tmp_path / "platform-tools" / "adb")
