"""What adb prints, read: every state, in the layout of adb's own sources (transport.cpp), short and with -l."""

import hashlib

import pytest

from profilers.android.devices import Attached, choose, open_phones, parse_devices
from profilers.android.serials import hidden, without
from profilers.errors import DeviceError
from tests.phone import Faults, Phone
from tests.phone.fixtures import adb

NO_RULES = "no permissions (missing udev rules? user is in the plugdev group)"
SEE = "; see [http://developer.android.com/tools/device.html]"

SHORT = f"""List of devices attached
R58M123ABCD\tdevice
emulator-5554\toffline
0A041FDD4003BX\tunauthorized
192.168.1.7:5555\tdevice
????????????\t{NO_RULES}{SEE}

"""

LONG = f"""* daemon not running; starting now at tcp:5037
* daemon started successfully
List of devices attached
R58M123ABCD            device usb:1-2 product:beyond1ltexx model:SM_G973F device:beyond1 transport_id:4
emulator-5554          offline transport_id:1
0A041FDD4003BX         unauthorized usb:1-4 transport_id:3
192.168.1.7:5555       device product:oriole model:Pixel_6 device:oriole transport_id:9
(no serial number)     {NO_RULES}{SEE} usb:1-1 transport_id:2

"""


@pytest.mark.parametrize("listing", [SHORT, LONG, SHORT.replace("\n", "\r\n")], ids=["short", "long", "windows"])
def test_serial_and_state_of_every_phone(listing):
    found = parse_devices(listing)
    assert found[:4] == [
        Attached("R58M123ABCD", "device"),
        Attached("emulator-5554", "offline"),
        Attached("0A041FDD4003BX", "unauthorized"),
        Attached("192.168.1.7:5555", "device"),
    ]
    assert len(found) == 5
    assert found[4].serial in ("????????????", "(no serial number)")
    assert found[4].state == NO_RULES + SEE


@pytest.mark.parametrize("listing", ["", "List of devices attached\n\n", "* daemon started successfully\n"])
def test_no_phone(listing):
    assert parse_devices(listing) == []


@pytest.fixture
def nothing_named(monkeypatch):
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)


@pytest.mark.usefixtures("nothing_named")
def test_the_only_phone_is_taken_and_several_are_listed():
    ready, other = Attached("A", "device"), Attached("B", "device")
    assert choose([ready, Attached("C", "offline")]) == ["A"]
    with pytest.raises(DeviceError, match="2 phones are attached: A, B, C") as caught:
        choose([ready, other, Attached("C", "offline")])
    assert "--serial" in caught.value.cure
    assert "ANDROID_SERIAL" in caught.value.cure
    assert choose([ready, other], ["B", "A", "B"]) == ["B", "A"]


def test_the_environment_names_a_phone_and_the_option_goes_first(monkeypatch):
    phones = [Attached("A", "device"), Attached("B", "device")]
    monkeypatch.setenv("ANDROID_SERIAL", "B")
    assert choose(phones) == ["B"]
    assert choose(phones, ["A"]) == ["A"]
    monkeypatch.setenv("ANDROID_SERIAL", "X; reboot")
    with pytest.raises(DeviceError, match="X; reboot is not attached; found: A, B"):
        choose(phones)


@pytest.mark.usefixtures("nothing_named")
@pytest.mark.parametrize(
    ("state", "cure"),
    [("unauthorized", "accept the question"), ("offline", "replug"), (NO_RULES + SEE, "udev"), ("odd", "adb devices")],
)
def test_a_phone_that_is_not_ready_comes_with_the_cure(state, cure):
    for named in ([], ["A"]):
        with pytest.raises(DeviceError) as caught:
            choose([Attached("A", state)], named)
        assert state in caught.value.message
        assert cure in caught.value.cure


@pytest.mark.usefixtures("nothing_named")
def test_without_a_phone_the_cure_is_to_attach_one():
    with pytest.raises(DeviceError, match="adb lists no device") as caught:
        choose([], ["A"])
    assert "USB debugging" in caught.value.cure


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.usefixtures("adb_server")
def test_a_phone_is_found_by_the_hash_that_files_keep():
    phones = [Attached("A", "device"), Attached("B", "device")]
    kept = hidden("B")
    assert kept == "sha256:" + hashlib.sha256(b"B").hexdigest()[:16]
    assert hidden(kept) == kept
    assert choose(phones, [kept]) == ["B"]
    assert choose(phones, [kept, "B", "A"]) == ["B", "A"], "one phone is not two"
    with pytest.raises(DeviceError, match="not attached; found: A, B") as caught:
        choose(phones, [hidden("C")])
    assert "the run was made for" in caught.value.cure


def test_a_command_is_kept_without_serial_numbers():
    typed = ["optimize", "--serial", "R58M", "--serial=-X", "--model", "R58M.py"]
    kept = without(typed, ["R58M", "-X"])
    assert kept == ["optimize", "--serial", hidden("R58M"), f"--serial={hidden('-X')}", "--model", "R58M.py"]
    assert without(typed, []) == typed


@pytest.mark.parametrize("state", ["unauthorized", "offline"])
def test_states_as_the_real_adb_gives_them(tmp_path, state):
    faults = Faults(**{state: True})
    with Phone(tmp_path / "phone", faults=faults) as phone:
        adb("connect", phone.address)
        with pytest.raises(DeviceError, match=state):
            open_phones()
