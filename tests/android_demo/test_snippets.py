"""The code that a bundle brings along compiles, and prepares pictures as training did."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgeprune.apk.sources import app_sources, fetch_libraries
from edgeprune.bundle.snippets import write_snippets

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ONE_LEVEL = 1.001 / 255 / 0.224  # of the numbers, by the smallest deviation of ImageNet's channels
NAMES = ("landscape", "grown", "no change", "colours to grey")


def run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-3000:]


@pytest.fixture(scope="module")
def tensorflow() -> str:
    """TensorFlow Lite's classes as a class path."""
    libraries = fetch_libraries(app_sources(), ROOT / "build" / "android_demo", executorch=False)
    return ":".join(str(jar) for jar in libraries.shipped)


@pytest.fixture(scope="module")
def kotlin() -> str:
    """The Kotlin compiler as a class path."""
    jars = ROOT / "build" / "android_demo" / "kotlin"
    run(
        "mvn",
        "-q",
        "-B",
        "-f",
        HERE / "kotlin" / "pom.xml",
        "dependency:copy-dependencies",
        f"-DoutputDirectory={jars}",
    )
    return ":".join(str(jar) for jar in sorted(jars.glob("*.jar")))


def cases(golden: Path) -> list[dict]:
    return [case for case in json.loads((golden / "pictures" / "cases.json").read_text()) if case["name"] in NAMES]


def snippets(case: dict, folder: Path) -> Path:
    model = {"network": "pruned", "runtime": "litert", "file": "pruned.tflite"}
    write_snippets({"name": "net", "preprocessing": case["preprocessing"], "models": [model]}, folder / "snippets")
    return folder / "snippets"


def check(case: dict, golden: Path, folder: Path, classpath: str) -> None:
    picture = golden / "pictures" / f"{case['file']}.png"
    if case["orientation"] != 1:  # the snippets take pictures that are upright
        upright = ImageOps.exif_transpose(Image.open(picture))
        picture = folder / "upright.png"
        upright.save(picture)
    run("java", "-cp", f"{folder}:{classpath}", "Harness", picture, folder / "numbers")
    found = np.fromfile(folder / "numbers", "<f4")
    expected = np.fromfile(golden / "pictures" / f"{case['file']}.numbers", "<f4")
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= ONE_LEVEL


@pytest.mark.debian("maven")
@pytest.mark.parametrize("number", range(len(NAMES)))
def test_the_java_snippet_compiles_and_sees_what_training_saw(golden, tensorflow, tmp_path, number):
    case = cases(golden)[number]
    (tmp_path / "Harness.java").write_text(
        (HERE / "Harness.java").read_text().replace("PREPROCESS", "Classifier.preprocess")
    )
    source = snippets(case, tmp_path) / "Classifier.java"
    run("javac", "-Xlint:all", "-Werror", "-cp", tensorflow, "-d", tmp_path, source, tmp_path / "Harness.java")
    check(case, golden, tmp_path, tensorflow)


@pytest.mark.debian("maven")
@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 3])
def test_the_kotlin_snippet_compiles_and_sees_what_training_saw(golden, tensorflow, kotlin, tmp_path, number):
    case = cases(golden)[number]
    source = snippets(case, tmp_path) / "Classifier.kt"
    compiler = "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"
    run("java", "-cp", kotlin, compiler, "-Werror", "-no-stdlib", "-no-reflect", "-cp", f"{tensorflow}:{kotlin}",
        "-d", tmp_path, source)  # fmt: skip
    (tmp_path / "Harness.java").write_text(
        (HERE / "Harness.java").read_text().replace("PREPROCESS", "ClassifierKt.preprocess")
    )
    run("javac", "-cp", f"{tmp_path}:{kotlin}", "-d", tmp_path, tmp_path / "Harness.java")
    check(case, golden, tmp_path, f"{tensorflow}:{kotlin}")


def test_swift_names_the_preprocessing_and_that_it_was_not_run(golden, tmp_path):
    case = cases(golden)[0]
    text = (snippets(case, tmp_path) / "Classifier.swift").read_text()
    assert "static let side = 224" in text
    assert "[0.485, 0.456, 0.406]" in text
    assert "could not run this file" in text
    assert text.count("{") == text.count("}")
