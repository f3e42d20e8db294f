import stat
import sys

import pytest

from edgeprune.config import make_config
from edgeprune.errors import EnvironmentProblem, UsageError, explain
from edgeprune.preflight import check
from profilers.errors import DeviceError, RuntimeNotInstalled

GIVEN = {"model": "builtin:resnet8", "data": "builtin:digits"}


def checked(**settings):
    check(make_config({**GIVEN, **settings}))


def fake_adb(folder, listing):
    adb = folder / "adb"
    version = "Android Debug Bridge version 1.0.41"
    adb.write_text(f"#!{sys.executable}\nimport sys\nprint({version!r} if 'version' in sys.argv else {listing!r})\n")
    adb.chmod(adb.stat().st_mode | stat.S_IXUSR)


def test_without_adb_android_ends_at_once_with_the_cure(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    with pytest.raises(DeviceError, match="adb was not found") as caught:
        checked(target="android", latency="20ms")
    problem = explain(caught.value)
    assert problem is not None
    assert problem.exit_code == 5
    assert "platform-tools" in caught.value.cure


def test_adb_without_a_phone_ends_at_once_with_the_cure(monkeypatch, tmp_path):
    fake_adb(tmp_path, "List of devices attached\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match="adb lists no device") as caught:
        checked(target="android", latency="20ms")
    assert "USB debugging" in caught.value.cure


def test_phones_are_named_with_their_state(monkeypatch, tmp_path):
    fake_adb(tmp_path, "List of devices attached\nR58M\tunauthorized\nA\tdevice\nB\tdevice\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_SERIAL", raising=False)
    with pytest.raises(DeviceError, match=r"2 phones are attached: R58M \(unauthorized\), A, B") as caught:
        checked(target="android", latency="20ms")
    assert "--serial" in caught.value.cure
    with pytest.raises(DeviceError, match="R58M is unauthorized"):
        checked(target="android", latency="20ms", serial="R58M")


def test_without_the_native_runners_their_making_is_told(monkeypatch, tmp_path):
    fake_adb(tmp_path, "List of devices attached\nA\tdevice\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EDGEPRUNE_NATIVE", str(tmp_path / "none"))
    with pytest.raises(RuntimeNotInstalled, match="native runners for phones are not built") as caught:
        checked(target="android", latency="20ms")
    assert "make native" in caught.value.cure


def test_latency_on_ios_is_refused_and_macs_is_named():
    with pytest.raises(EnvironmentProblem) as caught:
        checked(target="ios", latency="20ms")
    assert caught.value.exit_code == 3
    assert "--macs" in caught.value.cure
    checked(target="ios", macs="50%")


@pytest.mark.parametrize("missing", ["model", "data", "budget"])
def test_what_is_missing_is_named(missing):
    settings = {**GIVEN, "latency": "50%"}
    settings.pop({"budget": "latency"}.get(missing, missing))
    with pytest.raises(UsageError, match=f"No {missing} given"):
        check(make_config(settings))


def test_the_runtime_of_the_budget_must_be_among_the_formats():
    with pytest.raises(UsageError, match="budget is about litert"):
        checked(latency="50%", formats="executorch")


def test_a_missing_extra_is_named_with_the_pip_command(monkeypatch):
    monkeypatch.setattr("edgeprune.preflight.find_spec", lambda name: None if name == "coremltools" else object())
    with pytest.raises(EnvironmentProblem) as caught:
        checked(latency="50%")
    assert 'pip install "edgeprune[coreml]"' in caught.value.cure
