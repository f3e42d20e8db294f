"""ExecuTorch's engine, where its library cannot be had: it compiles against the signatures it relies on."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGINE = ROOT / "android_demo/app/src/executorch/java/ai/edgeprune/demo/ExecuTorchEngine.java"


def test_the_engine_compiles_and_names_the_version_that_is_fetched(tmp_path):
    core = ROOT / "android_demo/core/src/main/java/ai/edgeprune/core"
    needed = [core / name for name in ("Engine.java", "CpuEngine.java", "EngineException.java")]
    stubs = (ROOT / "tests/android_demo/executorch_stubs").rglob("*.java")
    command = ["javac", "--release", "8", "-Xlint:all,-options", "-Werror", "-d", tmp_path, ENGINE, *needed, *stubs]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pom = (ROOT / "android_demo" / "pom.xml").read_text()
    fetched = re.search(r"<artifactId>executorch-android</artifactId>\s*<version>([^<]+)", pom)
    written = re.search(r'VERSION = "([^"]+)"', ENGINE.read_text())
    python = re.search(r'"executorch==([^"]+)"', (ROOT / "pyproject.toml").read_text())
    catalog = re.search(r'executorch = "([^"]+)"', (ROOT / "android_demo/gradle/libs.versions.toml").read_text())
    assert None not in (fetched, written, python, catalog)
    assert fetched[1] == catalog[1]
    assert fetched[1] == written[1] == python[1], "a .pte is read by the version that wrote it"
