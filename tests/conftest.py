"""Fixtures and rules shared by all tests."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.phone.fixtures"]
PHONE = ("adb", "proot", "busybox-static")  # what the emulated phone is made of


def _installed(package: str) -> bool:
    if shutil.which("dpkg") is None:
        return False
    return subprocess.run(["dpkg", "-s", package], capture_output=True, check=False).returncode == 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out tests whose Debian package is absent, by name and with the cure; CI leaves none out."""
    there: dict[str, bool] = {}
    for item in items:
        needed = [mark.args[0] for mark in item.iter_markers("debian")]
        for package in (*needed, *(PHONE if "adb_server" in getattr(item, "fixturenames", ()) else ())):
            if there.setdefault(package, _installed(package)) or os.environ.get("CI") == "true":
                continue
            item.add_marker(pytest.mark.skip(reason=f"needs {package}: sudo apt-get install {package}"))


@pytest.fixture(autouse=True, scope="session")
def _store_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nor do runs that several tests share, made before any test has a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPRUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's store of measurements."""
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEPRUNE_STORE", raising=False)
