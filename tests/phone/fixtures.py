"""For tests with a phone: an adb server of their own, and a phone that is connected to it. All tests have these."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from profilers.android.bundle import bundles_folder
from tests.phone import Phone
from tests.phone.sandbox import BUSYBOX


def adb(*arguments: str, timeout: float = 30, **options: object) -> "subprocess.CompletedProcess[str]":
    """Debian's adb, on the server of the test."""
    return subprocess.run(["adb", *arguments], capture_output=True, text=True, timeout=timeout, check=False, **options)


def connect(phone: Phone) -> None:
    """Plug a phone in. Raises AssertionError if adb does not take it."""
    said = adb("connect", phone.address).stdout
    assert said.startswith("connected to"), said
    adb("-s", phone.address, "wait-for-device")


@pytest.fixture
def adb_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Port of an adb server that nobody else talks to, with keys of its own; it is gone after the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ADB_LOCAL_TRANSPORT_MAX_PORT", "1")  # do not look for emulators of others
    for name in ("ANDROID_SERIAL", "ADB_VENDOR_KEYS", "ANDROID_ADB_SERVER_ADDRESS", "ADB_SERVER_SOCKET"):
        monkeypatch.delenv(name, raising=False)
    assert adb("start-server").returncode == 0
    yield port
    subprocess.run(["adb", "kill-server"], env={**os.environ, "ANDROID_ADB_SERVER_PORT": str(port)}, check=False)


@pytest.fixture
def phone(tmp_path: Path, adb_server: int) -> Iterator[Phone]:  # noqa: ARG001
    """A connected phone whose shell is the host's."""
    with Phone(tmp_path / "phone") as phone:
        connect(phone)
        yield phone


@pytest.fixture(scope="session")
def native() -> Path:
    """The folder of the native runners, with those for x86_64. Left out where they are not built, but never in CI."""
    return _built("x86_64").parent


@pytest.fixture(scope="session")
def native_arm64() -> Path:
    """The native runners for arm64."""
    return _built("arm64-v8a")


def _built(abi: str) -> Path:
    folder = bundles_folder() / abi
    if not (folder / "manifest.json").is_file() and os.environ.get("CI") != "true":
        pytest.skip(f"needs the native runners for {abi}: make native")
    return folder


@pytest.fixture
def arm64_phone(tmp_path: Path, adb_server: int) -> Iterator[Phone]:  # noqa: ARG001
    """A connected phone whose programs are arm64 programs."""
    fetch = Path(__file__).with_name("fetch-busybox.sh")
    if not BUSYBOX["arm64"].is_file():
        subprocess.run([fetch, "arm64", BUSYBOX["arm64"]], check=True)
    with Phone(tmp_path / "phone", backend="arm64") as phone:
        connect(phone)
        yield phone
