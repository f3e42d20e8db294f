"""What adb prints, read: every state, in the layout of adb's own sources (transport.cpp), short and with -l."""

import pytest

from profilers.android.devices import Attached, attached, find_adb, parse_devices

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


def test_adb_is_asked_and_found_under_android_home(tmp_path, monkeypatch):
    tools = tmp_path / "platform-tools"
    tools.mkdir()
    adb = tools / "adb"
    adb.write_text(
        "#!/bin/sh\nif [ \"$1\" = devices ]; then printf 'List of devices attached\\nR58M\\tdevice\\n'; fi\n"
    )
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    assert find_adb() is None
    monkeypatch.setenv("ANDROID_HOME", str(tmp_path))
    assert find_adb() == str(adb)
    assert attached(str(adb)) == [Attached("R58M", "device")]
