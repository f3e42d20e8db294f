"""The app's contract, from our end, against an app that really runs the file."""

import json
from pathlib import Path
from typing import Any

import pytest

from converters.artifact import Artifact
from profilers.android import app, measure
from profilers.android import turn as turn_module
from profilers.android.adb import Adb
from profilers.android.adb import Phone as Behind
from profilers.android.app import AppRunner, json_schema, parse_reply
from profilers.android.facts import read_facts
from profilers.android.station import Station
from profilers.android.turn import Turn
from profilers.errors import MeasurementError, RuntimeNotInstalled
from profilers.layers import LayerKey
from profilers.protocol import QUICK
from tests.phone import Phone
from tests.profilers.android import emulated_app

pytestmark = [pytest.mark.debian("adb"), pytest.mark.debian("proot")]
KEY = LayerKey("conv2d", 8, 8, (8, 8), (8, 8), (3, 3), padding=(1, 1))
SCHEMA = Path(app.__file__).with_name("app_result.schema.json")


@pytest.fixture
def artifact(layer: Any) -> Artifact:
    return layer(KEY)


def test_the_schema_file_for_the_app_is_up_to_date():
    written = json.loads(SCHEMA.read_text())
    assert written == json.loads(json.dumps(json_schema())), "run: python -m profilers.android.app > the file"


def test_a_file_is_measured_in_the_app_and_nothing_is_left(phone: Phone, artifact: Artifact):
    requests = emulated_app.install(phone)
    behind = Behind(Adb(), phone.address)
    with AppRunner(behind) as runner:
        found = measure.measure(Station(behind, read_facts(behind), runner), {"a": artifact}, protocol=QUICK)["a"]
    assert found.kind == "emulated"
    assert found.latency.n == len(found.samples_ms) == 30
    assert (found.device.runtime, found.device.libc, found.device.delegate) == ("litert", "", "xnnpack")
    assert found.peak_memory_mib == 12.5
    assert found.conditions_after["pss_mib"] == 31.25
    assert len({asked["run_id"] for asked in requests}) == len(requests) == 3, "two turns and one for memory"
    assert requests[0]["threads"] == 1
    assert requests[0]["model"].endswith(".tflite")
    assert not phone.path(f"/data/data/{app.PACKAGE}/{app.FOLDER}").exists()
    assert [p.name for p in phone.path("/data/local/tmp/edgeprune").iterdir()] == []


def good(**changes: Any) -> dict[str, Any]:
    reply = {
        "protocol": 1,
        "run_id": "ours",
        "app_version": "1",
        "status": "ok",
        "load_ms": 3.0,
        "first_ms": 2.0,
        "samples_ns": [1_500_000, 1_400_000],
        "runtime": "litert",
        "runtime_version": "2.16.1",
        "threads": 1,
        "delegate": "xnnpack",
        "affinity": [0],
        "peak_mib": None,
        "thermal_before": None,
        "thermal_after": 0,
    }
    return {**reply, **changes}


def test_a_good_reply_is_read():
    assert parse_reply(json.dumps(good()), "ours").samples_ms == [1.5, 1.4]


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        (json.dumps(good())[:100], "JSON"),
        ("", "JSON"),
        (json.dumps(good(load_ms=float("nan"))), "load_ms"),
        (json.dumps(good(samples_ns=[1_500_000, -3])), "samples_ns"),
        (json.dumps(good(samples_ns=[1.5])), "samples_ns"),
        (json.dumps(good(samples_ns=[])), "samples_ns"),
        (json.dumps(good(first_ms=-1.0)), "first_ms"),
        (json.dumps(good(pss_mib=-1.0)), "pss_mib"),
        (json.dumps(good(run_id="yesterday")), "run id yesterday instead of ours"),
        (json.dumps(good(protocol=2)), "protocol"),
        (json.dumps(good(status="fine")), "status"),
        (json.dumps(good(extra=1)), "extra"),
    ],
)
def test_a_phone_that_lies_is_not_believed(reply: str, named: str):
    with pytest.raises(MeasurementError, match="cannot be believed") as caught:
        parse_reply(reply, "ours")
    assert named in caught.value.message


@pytest.mark.parametrize("code", sorted(app.CURES))
def test_every_failure_has_a_cure(code: str):
    head = {name: good()[name] for name in ("protocol", "run_id", "app_version")}
    text = json.dumps({**head, "status": "error", "error": {"code": code, "message": "so it is"}})
    with pytest.raises((MeasurementError, RuntimeNotInstalled), match="so it is") as caught:
        parse_reply(text, "ours")
    assert caught.value.cure
    assert isinstance(caught.value, RuntimeNotInstalled) == (code == "delegate")


def test_an_app_that_leaves_nothing_is_told_with_its_log(phone: Phone, artifact: Artifact):
    emulated_app.install(phone, lie=lambda _: "")
    phone.state.write_log("E", "AndroidRuntime", "FATAL EXCEPTION: main")
    with AppRunner(Behind(Adb(), phone.address)) as runner:
        runner.put([artifact])
        with pytest.raises(MeasurementError, match=r"ended without a result(.|\n)*FATAL EXCEPTION"):
            runner.run([Turn(artifact, warmup_runs=0, warmup_seconds=0)])
    assert phone.left_behind() == []


def test_an_app_that_does_not_end_is_stopped(phone: Phone, artifact: Artifact, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(turn_module, "STARTUP_S", 1.0)
    emulated_app.install(phone, lie=lambda _: "")
    functions = phone.path("/system/etc/functions")
    functions.write_text(functions.read_text() + "pidof() { echo 4711; }\n")
    with AppRunner(Behind(Adb(), phone.address)) as runner:
        runner.put([artifact])
        with pytest.raises(MeasurementError, match=r"no result within 2 s and was stopped"):
            runner.run([Turn(artifact, warmup_runs=0, warmup_seconds=0, max_seconds=0.5)])
        assert phone.calls[-1] == ("am", "force-stop", app.PACKAGE)
    assert phone.left_behind() == []


def test_the_app_is_told_all_limits(phone: Phone, artifact: Artifact):
    requests = emulated_app.install(phone)
    with AppRunner(Behind(Adb(), phone.address)) as runner:
        runner.put([artifact])
        runner.run([Turn(artifact, warmup_runs=0, warmup_seconds=0, min_runs=3, max_runs=7, max_seconds=2.5)])
    (asked,) = requests
    assert (asked["min_runs"], asked["max_runs"], asked["max_ms"]) == (3, 7, 2500)


def test_what_is_no_model_and_a_delegate_that_is_not_there(phone: Phone, artifact: Artifact):
    emulated_app.install(phone)
    artifact.path.write_bytes(b"no flatbuffer")
    for delegate, kind, said in (
        ("cpu", MeasurementError, "not a LiteRT model"),
        ("gpu", RuntimeNotInstalled, "no delegate gpu"),
    ):
        with AppRunner(Behind(Adb(), phone.address), delegate) as runner:
            runner.put([artifact])
            with pytest.raises(kind, match=said):
                runner.run([Turn(artifact, warmup_runs=0, warmup_seconds=0)])


def test_without_the_app_another_runner_is_named(phone: Phone):
    with pytest.raises(RuntimeNotInstalled, match=app.PACKAGE) as caught:
        AppRunner(Behind(Adb(), phone.address)).__enter__()
    assert f"edgeprune app install --serial {phone.address}" in caught.value.cure
    assert "--runner native" in caught.value.cure


def test_an_app_that_adb_may_not_look_into(phone: Phone):
    phone.install(app.PACKAGE, debuggable=False)
    with pytest.raises(RuntimeNotInstalled, match="release build") as caught:
        AppRunner(Behind(Adb(), phone.address)).__enter__()
    assert f"adb uninstall {app.PACKAGE}" in caught.value.cure
