"""Apps are installed by the real adb, from a real APK."""

import subprocess
from pathlib import Path

import pytest

from tests.phone import Faults, Phone
from tests.phone.fixtures import adb, connect
from tests.phone.packages import Manifest, read_manifest

FRAMEWORK = "/usr/share/android-framework-res/framework-res.apk"
MANIFEST = '<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="org.edgeprune.x">\
<application android:label="x"/></manifest>'

pytestmark = [pytest.mark.debian("aapt"), pytest.mark.debian("android-framework-res")]


@pytest.fixture
def apk(tmp_path: Path) -> Path:
    (tmp_path / "AndroidManifest.xml").write_text(MANIFEST)
    command = [
        "aapt2",
        "link",
        "--version-name",
        "1.2",
        "--debug-mode",
        "-I",
        FRAMEWORK,
        "--manifest",
        tmp_path / "AndroidManifest.xml",
    ]
    subprocess.run([*command, "-o", tmp_path / "x.apk"], check=True, capture_output=True)
    return tmp_path / "x.apk"


def test_the_manifest_of_a_package_is_read(apk: Path) -> None:
    assert read_manifest(apk.read_bytes()) == Manifest("org.edgeprune.x", "1.2", debuggable=True)
    assert read_manifest(b"not an archive") is None
    assert read_manifest(apk.read_bytes()[:100]) is None


@pytest.mark.parametrize("legacy", [False, True], ids=["streamed", "pushed"])
def test_install_list_and_uninstall(tmp_path: Path, adb_server: int, apk: Path, legacy: bool) -> None:  # noqa: ARG001
    with Phone(tmp_path / "phone", faults=Faults(legacy=legacy)) as phone:
        connect(phone)
        installed = adb("install", str(apk))
        assert "Success" in installed.stdout
        assert adb("shell", "pm list packages").stdout.split() == ["package:org.edgeprune.x"]
        place = adb("shell", "pm path org.edgeprune.x").stdout.strip().removeprefix("package:")
        assert phone.path(place).read_bytes() == apk.read_bytes()
        told = adb("shell", "dumpsys package org.edgeprune.x").stdout
        assert "    versionName=1.2\n" in told
        assert "DEBUGGABLE" in told
        again = adb("install", str(apk))
        assert "INSTALL_FAILED_ALREADY_EXISTS" in again.stdout + again.stderr
        assert "Success" in adb("install", "-r", str(apk)).stdout
        assert "Success" in adb("uninstall", "org.edgeprune.x").stdout
        assert adb("shell", "pm list packages").stdout == ""
        assert "Unable to find package" in adb("shell", "dumpsys package org.edgeprune.x").stdout
        assert "Failure" in adb("uninstall", "org.edgeprune.x").stdout


def test_a_file_that_is_no_app_is_refused(phone: Phone, tmp_path: Path) -> None:
    (tmp_path / "bad.apk").write_bytes(b"not an archive")
    refused = adb("install", str(tmp_path / "bad.apk"))
    assert refused.returncode != 0
    assert "INSTALL_PARSE_FAILED_NOT_APK" in refused.stdout + refused.stderr
    assert not phone.packages
