"""The two activities under Robolectric: Android's own classes on the JVM, real inference, pictures of the screens."""

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from edgeprune.apk.assets import copy_bundle
from edgeprune.apk.sources import app_sources, fetch_libraries
from edgeprune.apk.tools import framework
from profilers.android.app import REPLY, Measured

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BAR = (165, 214, 167)


def run(*words: object) -> str:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.debian("maven")
@pytest.mark.debian("aapt")
@pytest.mark.debian("android-framework-res")
def test_the_screens_classify_measure_and_keep_their_state(bundle, tmp_path):
    sources, main = app_sources(), app_sources() / "app" / "src" / "main"
    libraries = fetch_libraries(sources, ROOT / "build" / "android_demo", executorch=False)
    jars = ROOT / "build" / "android_demo" / "robolectric"
    run("mvn", "-q", "-B", "-f", HERE / "robolectric", "dependency:copy-dependencies", f"-DoutputDirectory={jars}")
    copy_bundle(bundle, tmp_path / "assets", ("litert",))
    run("aapt2", "compile", "--dir", main / "res", "-o", tmp_path / "res.zip")
    run(
        "aapt2", "link", "-I", framework(), "--manifest", main / "AndroidManifest.xml", "-A", tmp_path / "assets",
        "-0", ".tflite", "--version-name", "0.1.0", "--version-code", "1", "--java", tmp_path / "generated",
        "-o", tmp_path / "resources.apk", tmp_path / "res.zip",
    )  # fmt: skip
    settings = tmp_path / "classes" / "com" / "android" / "tools" / "test_config.properties"
    settings.parent.mkdir(parents=True)
    settings.write_text(
        f"android_merged_assets={tmp_path / 'assets'}\nandroid_merged_manifest={main / 'AndroidManifest.xml'}\n"
        f"android_resource_apk={tmp_path / 'resources.apk'}\nandroid_custom_package=ai.edgeprune.demo\n"
    )
    json = next(jar for jar in libraries.shipped if jar.name.startswith("minimal-json"))
    robolectric = sorted(jar for jar in jars.glob("*.jar") if not jar.name.startswith("android-all"))
    path = ":".join(map(str, [tmp_path / "classes", json, *robolectric, libraries.framework]))
    folders = [sources / "core/src/main/java", main / "java", HERE / "robolectric" / "src", tmp_path / "generated"]
    files = [file for folder in folders for file in folder.rglob("*.java")]
    files.remove(main / "java/ai/edgeprune/demo/TfliteEngine.java")  # the one of robolectric/src stands in its place
    engine = sources / "core/src/test/java/ai/edgeprune/core/JvmEngine.java"
    run("javac", "-nowarn", "--release", "11", "-d", tmp_path / "classes", "-cp", path, *files, engine)
    screens = tmp_path / "screens"
    screens.mkdir()
    said = run(
        "java", f"-Dscreens={screens}", "-Drobolectric.offline=true", f"-Drobolectric.dependency.dir={jars}",
        "-cp", path, "org.junit.runner.JUnitCore", "ai.edgeprune.demo.ScreensTest",
    )  # fmt: skip
    assert "OK (11 tests)" in said
    for name in ("main", "benchmark"):
        image = Image.open(screens / f"{name}.png").convert("RGB")
        colours = {colour: count for count, colour in image.getcolors(1 << 24)}
        assert colours[BAR] > 1000
        assert len(colours) > 20, "no words on it"
    assert isinstance(REPLY.validate_json((screens / "reply.json").read_text()), Measured)
