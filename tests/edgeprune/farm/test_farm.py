"""A farm without a cluster: what is told to Ray, which phones are meant, how work is parted, what is refused."""

import copy
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import Result

from edgeprune.errors import UsageError
from edgeprune.targets.farm import chosen, parted
from profilers.android.adb import Adb
from profilers.android.adb import Phone as Behind
from profilers.android.serials import digest
from profilers.errors import ConnectionLost, DeviceError, FarmError, RuntimeNotInstalled
from profilers.farm import beside, join
from profilers.farm.cluster import Farm
from profilers.farm.labels import FarmPhone
from profilers.layers import LayerKey
from tests.phone import Phone
from tests.phone.fixtures import adb

Cli = Callable[..., Result]
PIXEL = FarmPhone("aa-2.3.0", "Google_Pixel_7", "Tensor_G2", "14", "11", "measured", "2.3.0", "0.1.0", "lab-1")
GALAXY = replace(PIXEL, kind="bb-2.3.0", model="samsung_SM-G991B", serial_sha256="22")
WHOLE = ("--model", "builtin:resnet8", "--data", "builtin:digits", "--latency", "50%")
FAKE_RAY = """
import json, os, sys, time
with open(os.environ["TOLD"], "a") as told:
    told.write(json.dumps([sys.argv[1:], os.environ["EDGEPRUNE_FARM_SERIAL"], os.getpid()]) + "\\n")
print("Ray runtime started.", flush=True)
time.sleep(600)
"""


def test_what_a_phone_tells_comes_back_from_labels() -> None:
    odd = replace(PIXEL, model='Ex "Mobile", 5G (2024) é', soc="", host="")
    labels = odd.labels()
    assert all(set(value) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
               for value in labels.values())  # fmt: skip
    back = FarmPhone.read({**labels, "ray.io/node-id": "x"}, "lab-1")
    assert back == replace(odd, model="Ex__Mobile___5G__2024", host="lab-1")
    assert FarmPhone.read({"ray.io/node-id": "x"}, "lab-1") is None
    assert FarmPhone.read({**labels, "edgeprune.org/new": "x"}, "lab-1") is None, "of another version"


def test_which_phones_are_meant() -> None:
    other = replace(PIXEL, serial_sha256="33", host="lab-2")
    assert chosen([PIXEL, other], []) == [[PIXEL, other]]
    assert chosen([PIXEL, GALAXY, other], ["pixel 7"]) == [[PIXEL, other]]
    assert chosen([PIXEL, GALAXY, other], ["SM-G991B", "Pixel"]) == [[GALAXY], [PIXEL, other]]
    with pytest.raises(DeviceError, match="no phone") as none:
        chosen([], [])
    assert "farm join" in none.value.cure
    with pytest.raises(DeviceError, match="2 x Google Pixel 7, Android 14; 1 x samsung SM-G991B") as several:
        chosen([PIXEL, GALAXY, other], [])
    assert "--phone-model" in several.value.cure
    with pytest.raises(UsageError, match="Nokia"):
        chosen([PIXEL], ["Nokia"])


@pytest.mark.parametrize(("keys", "phones", "sizes"), [
    (100, 1, [50, 50]), (100, 3, [17, 17, 17, 17, 17, 15]), (20, 10, [8, 8, 4]), (3, 2, [3]), (0, 2, [])
])  # fmt: skip
def test_layers_are_parted_into_two_pieces_a_phone(keys: int, phones: int, sizes: list[int]) -> None:
    layers = [LayerKey("linear", n + 1, 16) for n in range(keys)]
    pieces = parted(layers, phones)
    assert [len(piece) for piece in pieces] == sizes
    assert [key for piece in pieces for key in piece] == layers


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[tuple[list[str], str, int]]]:
    """In place of Ray a program that stays; what it was told."""
    fake, file = tmp_path / "fake_ray.py", tmp_path / "told"
    fake.write_text(FAKE_RAY)
    file.touch()
    monkeypatch.setenv("TOLD", str(file))
    monkeypatch.setattr(join, "RAY", (sys.executable, str(fake)))
    monkeypatch.setattr(join, "reachable", lambda address: address)
    monkeypatch.setattr(join, "GRACE_S", 0.2)
    monkeypatch.setattr(join, "RETRY_S", 0.0)
    return lambda: [tuple(json.loads(line)) for line in file.read_text().splitlines()]  # type: ignore[misc]


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]


def look_until(host: join.Host, phones: int) -> None:
    end = time.monotonic() + 20
    while len(host.phones) != phones and time.monotonic() < end:
        host.look()
        time.sleep(0.1)
    assert len(host.phones) == phones


@pytest.mark.usefixtures("native")
def test_a_host_gives_a_phone_that_comes_goes_and_comes_back(
    phone: Phone, told: Callable[[], list[tuple[list[str], str, int]]]
) -> None:
    heard: list[str] = []
    host = join.Host("lab-1:6379", heard.append)
    try:
        host.look()
        host.look()
        ((words, serial, pid),) = told()
        assert serial == phone.address
        assert phone.address not in " ".join(words), "the serial number does not travel"
        (joined,) = host.phones
        assert joined.serial_sha256 == digest(phone.address)
        assert "--address=lab-1:6379" in words
        assert f'--resources={{"{joined.resource}": 1}}' in words
        labels = next(word for word in words if word.startswith("--labels=")).removeprefix("--labels=")
        pairs = dict(pair.split("=") for pair in labels.split(","))
        assert FarmPhone.read(pairs, "") == replace(joined, model="EdgePrune_emulated_phone", soc=pairs[
            "edgeprune.org/soc"])  # fmt: skip
        assert joined.measures == "emulated"
        phone.unplug()
        look_until(host, 0)
        assert not alive(pid)
        phone.plug_in()
        adb("connect", phone.address)
        look_until(host, 1)
        os.kill(told()[-1][2], 9)
        while alive(told()[-1][2]):
            time.sleep(0.05)
        end = time.monotonic() + 20
        while len(told()) < 3 and time.monotonic() < end:
            host.look()
            time.sleep(0.1)
        assert len(told()) == 3, "a node that ended is made again"
        last = told()[-1][2]
        host.leave()
        assert not alive(last)
    finally:
        for _, _, pid in told():
            if alive(pid):
                os.kill(pid, 9)
    events = [line.split(") ")[1].split(":")[0] for line in heard]
    assert events == ["joined", "went away", "joined", "left", "joined"]
    assert phone.address not in " ".join(heard)


@pytest.mark.usefixtures("phone", "native")
def test_ray_that_does_not_start_is_told(
    told: Callable[[], list[tuple[list[str], str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join, "RAY", (sys.executable, "-c", "import sys; sys.exit('another version of Ray')"))
    with pytest.raises(join.FarmError, match="another version of Ray"):
        join.Host("lab-1:6379", print).look()
    assert told() == []


def test_an_error_beside_a_phone_does_not_tell_its_serial_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "_phone", lambda: Behind(Adb(sys.executable), "SERIAL1"))

    def lost(phone: Behind, runner: str) -> NoReturn:
        raise ConnectionLost(f"Phone {phone.serial} went away with {runner}.", "Look at it.")

    monkeypatch.setattr(beside, "open_station", lost)
    with pytest.raises(ConnectionLost) as caught:
        beside.time_layers(beside.How(), [])
    copied = copy.copy(caught.value)  # taken apart and put together as by Ray
    for error in (caught.value, copied):
        assert str(error) == f"Phone {digest('SERIAL1')[:6]} went away with native. (Look at it.)"
    assert isinstance(copied, ConnectionLost), "Ray repeats only this kind"


def test_a_head_that_is_away_ends_a_host_only_before_its_first_phone(
    phone: Phone, native: Path, told: Callable[[], list[tuple[list[str], str, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(address: str) -> NoReturn:
        raise FarmError(f"No Ray cluster answers at {address}.")

    heard: list[str] = []
    host = join.Host("lab-1:6379", heard.append)
    monkeypatch.setattr(join, "reachable", away)
    with pytest.raises(FarmError):
        host.look()
    monkeypatch.setattr(join, "reachable", lambda address: address)
    host.look()
    try:
        os.kill(told()[-1][2], 9)
        while alive(told()[-1][2]):
            time.sleep(0.05)
        monkeypatch.setattr(join, "reachable", away)
        look_until(host, 0)
        host.look()
        assert "cannot join now: No Ray cluster answers at lab-1:6379." in heard[-1]
        monkeypatch.setattr(join, "reachable", lambda address: address)
        look_until(host, 1)
    finally:
        host.leave()
    del phone, native


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["farm", "list", "127.0.0.1:1"], 3, "ray start --head"),
        (["farm", "join", "127.0.0.1:1"], 3, "ray start --head"),
        (["farm", "join", "lab:x"], 3, "is no address"),
        (["optimize", *WHOLE, "--target", "android", "--farm", "127.0.0.1:1"], 3, "No Ray cluster"),
        (["optimize", "--farm", "lab", "--latency", "50%"], 2, "goes with target android"),
        (["optimize", "--farm", "lab", "--target", "android", "--serial", "S", "--latency", "50%"], 2, "phone_model"),
        (["optimize", "--target", "android", "--phone-model", "Pixel", "--latency", "50%"], 2, "give farm, too"),
        (["table", "build", "builtin:resnet8", "--farm", "lab"], 2, "goes with target android"),
    ],
)  # fmt: skip
def test_what_is_refused(cli: Cli, words: list[str], code: int, said: str) -> None:
    done = cli(*words)
    assert done.exit_code == code, done.stderr
    assert said in " ".join(done.stderr.split())


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RuntimeNotInstalled) as caught:
        Farm("lab-1")
    assert "edgeprune[distributed]" in caught.value.cure
