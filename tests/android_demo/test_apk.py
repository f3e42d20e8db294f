"""The APK: built for real, and what is in it told by other programs than those that made it."""

import json
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

from edgeprune.apk import build_apk, check_apk
from edgeprune.apk.assets import copy_bundle
from edgeprune.apk.device import install, start
from edgeprune.apk.sign import debug_key, release_key
from edgeprune.errors import DeviceError, EnvironmentProblem, UsageError
from edgeprune.progress import LoggedProgress
from profilers.android.devices import open_phones
from tests.edgeprune.conftest import once
from tests.phone.programs import Answer

pytestmark = [pytest.mark.debian(name) for name in ("maven", "aapt", "apksigner", "zipalign", "dexdump")]
LIBRARIES = ("libtensorflowlite_jni.so",)


@pytest.fixture(scope="session")
def apk(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app with the bundle of a run, signed with a debug key."""

    def make(folder: Path) -> None:
        build_apk(folder / "app.apk", [bundle], debug_key(folder / "debug.keystore"), LoggedProgress())

    return once(tmp_path_factory, "apk", make) / "app.apk"


def test_signature_activities_libraries_and_models(apk):
    facts = check_apk(apk)
    assert facts.package == "ai.edgeprune.demo"
    assert facts.min_sdk == 24
    assert facts.debuggable
    assert facts.activities == ("ai.edgeprune.demo.BenchmarkActivity", "ai.edgeprune.demo.MainActivity")
    assert facts.native == {"arm64-v8a": LIBRARIES, "x86_64": LIBRARIES}
    assert [Path(model).name for model in facts.models] == ["dense.tflite", "pruned.tflite"]
    assert facts.size_bytes == apk.stat().st_size < 5e6
    badging = subprocess.run(["aapt2", "dump", "badging", apk], capture_output=True, text=True, check=True).stdout
    assert re.findall(r"uses-permission: name='([^']+)'", badging) == ["android.permission.CAMERA"]
    assert "uses-feature-not-required: name='android.hardware.camera'" in badging
    assert "ExecuTorch: not in this build" in str(facts)
    assert set(facts.small_pages) == {"arm64-v8a/libtensorflowlite_jni.so", "x86_64/libtensorflowlite_jni.so"}


def test_models_are_the_runs_own_uncompressed_and_aligned(apk, bundle):
    content = json.loads((bundle / "bundle.json").read_text())
    with zipfile.ZipFile(apk) as archive:
        for model in content["models"]:
            entry = archive.getinfo(f"assets/bundles/{content['name']}/{model['file']}")
            assert entry.compress_type == zipfile.ZIP_STORED
            assert archive.read(entry) == (bundle / model["file"]).read_bytes()
            header = entry.header_offset + 30
            name, extra = (int.from_bytes(apk.read_bytes()[header - n : header - n + 2], "little") for n in (4, 2))
            assert (header + name + extra) % 4 == 0
        assert (
            json.loads(archive.read(f"assets/bundles/{content['name']}/bundle.json"))["samples"] == content["samples"]
        )


def test_the_licenses_of_what_is_in_it_come_along(apk):
    with zipfile.ZipFile(apk) as archive:
        names = {Path(name).name for name in archive.namelist() if name.startswith("assets/licenses/")}
        assert names == {"tensorflow-lite-2.16.1.txt", "tensorflow-lite-api-2.16.1.txt", "minimal-json.txt"}
        assert b"Apache License" in archive.read("assets/licenses/tensorflow-lite-2.16.1.txt")


def test_a_changed_apk_is_refused(apk, tmp_path):
    changed = tmp_path / "changed.apk"
    changed.write_bytes(apk.read_bytes())
    with zipfile.ZipFile(changed, "a") as archive:
        archive.writestr("assets/more.txt", "x")
    with pytest.raises(EnvironmentProblem, match="signature"):
        check_apk(changed)


def test_a_release_key_makes_an_app_that_is_not_debuggable(tmp_path, monkeypatch):
    monkeypatch.setenv("EDGEPRUNE_KEYSTORE_PASSWORD", "not android")
    keystore = tmp_path / "release.p12"
    subprocess.run(
        ["keytool", "-genkeypair", "-keystore", keystore, "-storetype", "PKCS12", "-storepass", "not android",
         "-alias", "upload", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=Tests"],
        check=True, capture_output=True,
    )  # fmt: skip
    facts = check_apk(build_apk(tmp_path / "app.apk", [], release_key(keystore, "upload"), LoggedProgress()))
    assert not facts.debuggable
    assert facts.models == ()
    printed = subprocess.run(
        ["apksigner", "verify", "--print-certs", facts.path], capture_output=True, text=True, check=True
    )
    assert "CN=Tests" in printed.stdout


def test_it_is_installed_on_a_phone_and_started(apk, phone):
    (device,) = open_phones([phone.address])
    with pytest.raises(DeviceError, match="not on phone"):
        start(device)
    install(device, apk)
    assert "ai.edgeprune.demo" in device.run("pm list packages")
    with pytest.raises(DeviceError, match="does not exist"):
        start(device)  # the emulated phone has the file, but nothing that would run it
    started: list[list[str]] = []
    phone.apps["ai.edgeprune.demo"] = lambda _, arguments: started.append(arguments)
    start(device)
    assert started == [["start", "-n", "ai.edgeprune.demo/.MainActivity"]]


def test_a_phone_that_refuses_the_app_says_why(apk, phone):
    (device,) = open_phones([phone.address])
    phone.programs["cmd"] = lambda *_: Answer(
        "Failure [INSTALL_FAILED_UPDATE_INCOMPATIBLE: other signatures]\n", code=1
    )
    with pytest.raises(DeviceError, match="UPDATE_INCOMPATIBLE") as refused:
        install(device, apk)
    assert "adb uninstall" in refused.value.cure


def test_what_is_missing_is_named_with_its_cure(cli, tmp_path, monkeypatch, bundle):
    assert cli("app", "build", "nowhere").exit_code == 2
    monkeypatch.setenv("EDGEPRUNE_APP_SOURCES", str(tmp_path))
    done = cli("app", "build", "-o", "app.apk")
    assert done.exit_code == 3
    assert "EDGEPRUNE_APP_SOURCES" in done.stderr
    monkeypatch.delenv("EDGEPRUNE_APP_SOURCES")
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    done = cli("app", "build", bundle, "-o", "app.apk", "--executorch")
    assert done.exit_code == 3
    assert "ANDROID_HOME" in done.stderr
    assert cli("app", "build", "--keystore", "none.p12").exit_code == 2
    monkeypatch.setenv("PATH", "")
    done = cli("app", "build", bundle, "-o", "app.apk")
    assert done.exit_code == 3
    assert "sudo apt-get install" in done.stderr
    assert not (tmp_path / "app.apk").exists()


def test_a_bundle_without_a_model_that_the_app_runs_is_refused(bundle, tmp_path):
    content = json.loads((bundle / "bundle.json").read_text())
    for model in content["models"]:
        model["runtime"] = "executorch"
    (tmp_path / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(UsageError, match="executorch only"):
        copy_bundle(tmp_path, tmp_path / "assets", ("litert",))
