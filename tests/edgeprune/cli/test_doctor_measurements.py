"""`edgeprune doctor` and `edgeprune measurements`."""

import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import Result

from profilers.android.app import PACKAGE
from profilers.host.litert_flatbuffer import layer_file
from profilers.layers import LayerCost, LayerKey
from profilers.store import Store
from tests.phone import Phone
from tests.phone.fixtures import adb

Cli = Callable[..., Result]
KEY = LayerKey("conv2d", 8, 8, (8, 8), (8, 8), (3, 3), padding=(1, 1))


def findings(cli: Cli, code: int) -> dict[str, dict[str, str]]:
    done = cli("doctor", "--json")
    assert done.exit_code == code, done.stdout
    return {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.usefixtures("native")
def test_a_healthy_phone_and_one_that_needs_care(cli: Cli, phone: Phone) -> None:
    name = f"phone {phone.address}"
    found = findings(cli, 0)
    assert found["adb"]["state"] == found[name]["state"] == found["extra litert"]["state"] == "ok"
    assert "emulated: not a phone" in found[name]["found"]
    assert found[f"{name}, runners"]["found"] == "x86_64"
    assert found[f"{name}, app"]["state"] == "absent"
    phone.state.battery_percent, phone.state.battery_c, phone.state.low_power = 20, 41.0, True
    phone.state.screen_on, phone.faults.free_bytes = False, 10 << 20
    found = findings(cli, 3)
    for what in ("battery", "temperature", "battery saver", "screen", "space"):
        assert found[f"{name}, {what}"]["state"] == "not"
        assert found[f"{name}, {what}"]["fix"]
    assert phone.state.screen_on is False, "nothing is changed"


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.parametrize(
    ("installed", "debuggable", "state", "said"),
    [
        (version("edgeprune"), True, "ok", "tensorflow-lite 2."),
        ("0.0.1", True, "not", f"0.0.1, edgeprune here is {version('edgeprune')}"),
        (version("edgeprune"), False, "not", "release build"),
    ],
    ids=["of this version", "of another", "not to be looked into"],
)
def test_the_app_is_held_against_this_installation(
    cli: Cli, phone: Phone, installed: str, debuggable: bool, state: str, said: str
) -> None:
    phone.install(PACKAGE, installed, debuggable=debuggable)
    found = findings(cli, 0 if state == "ok" else 3)[f"phone {phone.address}, app"]
    assert found["state"] == state
    assert said in found["found"]
    assert bool(found["fix"]) == (state == "not")
    if state == "ok":
        assert f"ai-edge-litert {version('ai-edge-litert')}" in found["found"]


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
@pytest.mark.usefixtures("adb_server")
def test_a_phone_that_is_locked(cli: Cli, tmp_path: Path) -> None:
    with Phone(tmp_path / "phone") as locked:
        locked.faults.unauthorized = True
        adb("connect", locked.address)
        done = cli("doctor")
    assert done.exit_code == 3
    assert "accept the question" in " ".join(done.stdout.split())


def test_without_adb_and_runners_nothing_is_wrong_but_absent(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGEPRUNE_NATIVE", str(tmp_path / "none"))
    found = findings(cli, 0)
    assert found["adb"]["state"] == found["native runners"]["state"] == "absent"
    assert "make native" in found["native runners"]["fix"]
    assert "platform-tools" in found["adb"]["fix"]


def test_a_shared_store_that_cannot_be_reached(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGEPRUNE_STORE", "postgresql://me:s3cret@127.0.0.1:1/base")
    found = findings(cli, 3)["store"]
    assert found["state"] == "not"
    assert "127.0.0.1:1" in found["found"]
    assert "EDGEPRUNE_STORE" in found["fix"]
    failed = cli("measurements", "list", "--json")
    assert failed.exit_code == 3
    assert "s3cret" not in str(found) + failed.stdout + failed.stderr
    monkeypatch.setenv("EDGEPRUNE_STORE", str(tmp_path / "own.sqlite"))
    assert findings(cli, 0)["store"]["found"] == str(tmp_path / "own.sqlite")


def test_measurements_move_to_another_machine_and_are_taken_once(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(layer_file(KEY))
    assert "Nothing was measured" in cli("measurements", "list").stdout
    assert cli("profile", model, "--quick").exit_code == 0
    Store().layer_costs("a phone", "litert (glibc)", "2.3.0", 1).put({KEY: LayerCost(0.5, 90, "2026-01-01T00:00:00Z")})
    assert cli("measurements", "export", "lab.jsonl").exit_code == 0
    here = cli("measurements", "list", "--json").stdout
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "another machine"))
    counts = json.loads(cli("measurements", "import", "lab.jsonl", "--json").stdout)
    assert counts == {"measurements": 1, "layers": 1, "known": 0}
    assert json.loads(cli("measurements", "import", "lab.jsonl", "--json").stdout)["known"] == 2
    assert cli("measurements", "list", "--json").stdout == here
    assert Store().layer_costs("a phone", "litert (glibc)", "2.3.0", 1).get([KEY]) == {KEY: 0.5}
    table = cli("measurements", "list").stdout
    assert "measured" in table
    assert "m.tflite" in table
    (row,) = json.loads(here)["measurements"]
    assert row["device"].split()[0] in table
    assert row["when"][:10] in table


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("import", "nothing"),
            "No such file or directory. Give a file that `edgeprune measurements export FILE` wrote.",
        ),
        (("import", "junk"), "junk, line 1: is no JSON"),
        (("import", "bytes"), "bytes is no text"),
        (("import", "."), "Is a directory"),
        (("export", "no/folder/x"), "there is no folder no/folder"),
        (("export", "."), "is a folder"),
    ],
)
def test_a_file_that_cannot_be_read_or_written_is_named(
    cli: Cli, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    done = cli("measurements", *words)
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda line: line[: len(line) // 2], "line 2"),
        (lambda line: line.replace('"format":"edgeprune-measurements/1"', '"format":"x"'), "not of format"),
        (lambda line: line.replace('"samples_ms":[', '"samples_ms":[-1.0,'), "not a positive number"),
        (lambda line: line.replace('"median":', '"median":9'), "median is not that of the samples"),
        (lambda _: "null", "line 2"),
        (lambda line: line.replace('"kind":"measured"', '"kind":"sworn"'), "neither measured nor emulated"),
        (lambda line: line.replace('"conditions_before":{', '"conditions_before":null,"x":{'), "line 2"),
        (lambda line: re.sub('"conditions_before":{.*?}', '"conditions_before":[]', line), "conditions"),
    ],
    ids=["torn", "other format", "negative", "wrong statistics", "null", "other kind", "new key", "no conditions"],
)
def test_a_file_with_a_bad_line_is_refused_whole(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[str], str], said: str
) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes(layer_file(KEY))
    cli("profile", model, "--quick")
    cli("measurements", "export", "lab.jsonl")
    (line,) = (tmp_path / "lab.jsonl").read_text().splitlines()
    assert change(line) != line
    (tmp_path / "bad.jsonl").write_text(f"{line}\n{change(line)}\n")
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "another"))
    done = cli("measurements", "import", "bad.jsonl")
    assert done.exit_code == 2
    assert said in " ".join(done.stderr.split())
    assert json.loads(cli("measurements", "list", "--json").stdout)["measurements"] == []
