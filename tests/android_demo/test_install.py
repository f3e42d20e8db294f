"""`optimize --install`: from a trained network to the app on the phone in one command, or an error before the work."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.phone import Phone
from tests.phone.fixtures import adb
from tests.phone.programs import Answer

PACKAGE = "ai.edgeprune.demo"
UNTRAINED = ("--model", "builtin:resnet8", "--data", "builtin:digits")
ANDROID = ("--target", "android", "--macs", "60%", "--install")
Cli = Callable[..., Result]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--macs", "60%", "--install"), "the target is host"),
        (("--target", "ios", "--macs", "60%", "--install"), "the target is ios"),
        ((*ANDROID, "--plan"), "--plan ends before"),
        ((*ANDROID, "--runtime", "executorch", "--formats", "executorch,coreml"), "only executorch, coreml"),
    ],
)
def test_what_cannot_be_installed_is_refused_before_any_work(cli: Cli, words, said, tmp_path):
    done = cli("optimize", *UNTRAINED, *words, "-o", "run")
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert not (tmp_path / "run").exists()


def test_without_the_programs_to_build_it_nothing_is_begun(cli: Cli, tmp_path, monkeypatch):
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("optimize", *UNTRAINED, *ANDROID, "-o", "run")
    assert done.exit_code == 3
    assert "mvn" in done.stderr
    assert "sudo apt-get install" in done.stderr
    monkeypatch.setenv("EDGEPRUNE_APP_SOURCES", str(tmp_path))
    assert "EDGEPRUNE_APP_SOURCES" in cli("optimize", *UNTRAINED, *ANDROID, "-o", "run").stderr
    assert not (tmp_path / "run").exists()


def test_without_adb_nothing_is_begun(cli: Cli, tmp_path, monkeypatch):
    monkeypatch.setattr("edgeprune.apk.ship.need_all", lambda: None)  # they are there, adb is not
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = cli("optimize", *UNTRAINED, *ANDROID, "-o", "run")
    assert done.exit_code == 5
    assert "adb was not found" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("native")
def test_from_a_trained_network_to_the_app_on_the_phone(cli: Cli, given: list[str], phone: Phone, tmp_path: Path):
    """With every way in which the last step can fail: the run stays finished, and --resume only installs."""
    command = (
        "optimize",
        *given,
        *ANDROID,
        "--allocate",
        "uniform",
        "--epochs",
        "1",
        "--formats",
        "litert",
        "-o",
        "run",
    )
    installer = phone.programs["cmd"]
    phone.programs["cmd"] = lambda *_: Answer("Failure [INSTALL_FAILED_INSUFFICIENT_STORAGE]\n", code=1)
    full = cli(*command, "--json")
    assert full.exit_code == 5, full.stderr
    told = json.loads(full.stdout)
    assert "INSUFFICIENT_STORAGE" in told["error"]["message"]
    assert "edgeprune app run run" in told["error"]["cure"]
    assert told["met"] is True
    stored = (tmp_path / "run/result.json").stat().st_mtime_ns

    phone.programs["cmd"] = installer
    started: list[list[str]] = []
    phone.apps[PACKAGE] = lambda _, arguments: started.append(arguments)
    done = cli(*command, "--resume", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["met"] is True
    assert "the app is on the phone" in done.stderr
    assert (tmp_path / "run/result.json").stat().st_mtime_ns == stored, "a finished run is not repeated"
    assert PACKAGE in adb("shell", "pm list packages").stdout
    place = adb("shell", f"pm path {PACKAGE}").stdout.strip().removeprefix("package:")
    assert phone.path(place).read_bytes() == (tmp_path / "run/app.apk").read_bytes()
    assert started == [["start", "-n", f"{PACKAGE}/.MainActivity"]]
    assert cli("app", "run").exit_code == 0, "it can be started again by hand"
    assert len(started) == 2
