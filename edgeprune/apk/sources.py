"""Where the app's sources are, and the libraries that Maven Central adds to them."""

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from edgeprune.apk.tools import run
from edgeprune.errors import EnvironmentProblem
from edgeprune.files import whole

VARIABLE = "EDGEPRUNE_APP_SOURCES"
ABIS = ("arm64-v8a", "x86_64")


@dataclass(frozen=True)
class Libraries:
    """Jars that go into the app, native libraries by (ABI, name), the jars to build with, and the licenses of
    what goes in."""

    shipped: tuple[Path, ...]
    native: dict[tuple[str, str], Path]
    framework: Path
    dexer: Path
    licenses: dict[str, Path]


def app_sources() -> Path:
    """The folder android_demo. Raises EnvironmentProblem where only the Python package is installed."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else Path(__file__).parents[2] / "android_demo"
    if not (folder / "app" / "src" / "main" / "AndroidManifest.xml").is_file():
        raise EnvironmentProblem(
            f"The app's sources are not in {folder}.",
            f"Run from a source tree of EdgePrune, or set {VARIABLE} to its android_demo.",
        )
    return folder


def fetch_libraries(sources: Path, folder: Path, *, executorch: bool) -> Libraries:
    """Bring the libraries of android_demo/pom.xml below `folder` and unpack the AARs; what is there already stays."""
    key = hashlib.sha256((sources / "pom.xml").read_bytes()).hexdigest()[:12]
    place = folder / f"libraries-{key}{'-executorch' if executorch else ''}"
    if not place.is_dir():
        with whole(place) as partial:
            _download(sources / "pom.xml", partial, executorch=executorch)
    native = {
        (library.parent.name, library.name): library
        for library in sorted(place.glob("*/jni/*/*.so"))
        if library.parent.name in ABIS
    }
    framework, dexer = (next(place.glob(f"{name}-*.jar")) for name in ("android-all", "dalvik-dx"))
    jars = [jar for jar in sorted(place.glob("*.jar")) if jar not in (framework, dexer)]
    licenses = {file.parent.name: file for file in sorted(place.glob("*/LICENSE"))}
    licenses |= {file.stem: file for file in sorted((sources / "licenses").glob("*.txt"))}
    return Libraries((*sorted(place.glob("*/classes.jar")), *jars), native, framework, dexer, licenses)


def _download(pom: Path, folder: Path, *, executorch: bool) -> None:
    profile = ["-Pexecutorch"] if executorch else []
    folder.mkdir(parents=True)
    run(
        ["mvn", "-q", "-B", "-f", pom, *profile, "dependency:copy-dependencies", f"-DoutputDirectory={folder}"],
        what="The app's libraries could not be fetched from Maven Central",
    )
    for aar in folder.glob("*.aar"):
        with zipfile.ZipFile(aar) as archive:
            archive.extractall(folder / aar.stem)
        aar.unlink()
