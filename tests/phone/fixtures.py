"""For tests with a phone: an adb server of their own, and a phone that is connected to it. All tests have these."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.phone import Phone


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
