"""From sources and bundles to a signed APK: resources, Java, dex, native libraries, alignment, signature."""

import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from edgeprune.apk.assets import copy_bundle
from edgeprune.apk.sign import Key, sign
from edgeprune.apk.sources import Libraries, app_sources, fetch_libraries
from edgeprune.apk.tools import find, framework, run
from edgeprune.errors import EnvironmentProblem
from edgeprune.files import copy_whole, disk_trouble
from edgeprune.progress import Progress

MIN_SDK = 24


def build_apk(output: Path, bundles: Sequence[Path], key: Key, progress: Progress, *, executorch: bool = False) -> Path:
    """Build the app with these bundles inside and write it to `output`, whole or not at all.

    `executorch` adds ExecuTorch's library, which needs the d8 of an Android SDK. Raises EnvironmentProblem for missing
    programs, UsageError for broken bundles.
    """
    d8 = find("d8")
    if executorch and d8 is None:
        raise EnvironmentProblem(
            "ExecuTorch's library needs the dexer d8, which was not found.", "Set ANDROID_HOME to an Android SDK."
        )
    sources = app_sources()
    with disk_trouble(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="edgeprune-app-") as temporary:
        work = Path(temporary)
        (work / "assets").mkdir()
        for bundle in bundles:
            copy_bundle(bundle, work / "assets", ("litert", "executorch") if executorch else ("litert",))
        progress.stage("Fetching the app's libraries")
        libraries = fetch_libraries(sources, sources.parent / "build" / "android_demo", executorch=executorch)
        progress.stage("Building the app")
        _link(sources, work, debug=key.debug)
        _compile(sources, work, libraries, executorch=executorch)
        _dex(work, libraries, d8)
        _pack(work, libraries)
        run(["zipalign", "-f", "-p", "4", work / "packed.apk", work / "app.apk"], what="The app could not be aligned")
        sign(work / "app.apk", key)
        copy_whole(work / "app.apk", output)
    return output


def _link(sources: Path, work: Path, *, debug: bool) -> None:
    main = sources / "app" / "src" / "main"
    run(["aapt2", "compile", "--dir", main / "res", "-o", work / "res.zip"], what="The app's resources")
    name = version("edgeprune")
    code = sum(int(part) * 1000**place for place, part in enumerate(reversed(name.split(".")[:3])) if part.isdigit())
    run(
        ["aapt2", "link", "-I", framework(), "--manifest", main / "AndroidManifest.xml", "-A", work / "assets",
         "-0", ".tflite", "-0", ".pte", "--version-name", name, "--version-code", str(code),
         *(["--debug-mode"] if debug else []), "--java", work / "generated", "-o", work / "packed.apk",
         work / "res.zip"],
        what="The app's resources",
    )  # fmt: skip


def _compile(sources: Path, work: Path, libraries: Libraries, *, executorch: bool) -> None:
    folders = [sources / "core/src/main/java", sources / "app/src/main/java", work / "generated"]
    folders += [sources / "app/src/executorch/java"] if executorch else []
    files = [file for folder in folders for file in sorted(folder.rglob("*.java"))]
    path = ":".join(str(jar) for jar in (*libraries.shipped, libraries.framework))
    run(
        ["javac", "--release", "8", "-Xlint:all,-options,-classfile,-deprecation", "-Werror", "-encoding", "UTF-8",
         "-d", work / "classes", "-cp", path, *files],
        what="The app's sources",
    )  # fmt: skip


def _dex(work: Path, libraries: Libraries, d8: str | None) -> None:
    shutil.make_archive(str(work / "classes"), "zip", work / "classes")
    jar = (work / "classes.zip").rename(work / "classes.jar")
    (work / "dex").mkdir()
    if d8:
        how: list[str | Path] = [
            "d8",
            "--min-api",
            str(MIN_SDK),
            "--lib",
            libraries.framework,
            "--output",
            work / "dex",
        ]
    else:
        how = ["java", "-cp", libraries.dexer, "com.android.dx.command.Main", "--dex", f"--min-sdk-version={MIN_SDK}"]
        how.append(f"--output={work / 'dex' / 'classes.dex'}")
    run([*how, jar, *libraries.shipped], what="The app's classes could not be dexed")


def _pack(work: Path, libraries: Libraries) -> None:
    with zipfile.ZipFile(work / "packed.apk", "a", zipfile.ZIP_DEFLATED) as apk:
        for dex in sorted((work / "dex").glob("*.dex")):
            apk.write(dex, dex.name)
        for (abi, name), library in libraries.native.items():
            apk.write(library, f"lib/{abi}/{name}")
        for name, text in libraries.licenses.items():
            apk.write(text, f"assets/licenses/{name}.txt")
