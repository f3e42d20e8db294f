"""The programs that an APK is built with, where they are, and what to do when one is missing."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from edgeprune.errors import EnvironmentProblem

_PACKAGES = {
    "javac": "default-jdk-headless",
    "java": "default-jdk-headless",
    "keytool": "default-jdk-headless",
    "mvn": "maven",
    "aapt2": "aapt",
    "zipalign": "zipalign",
    "apksigner": "apksigner",
    "dexdump": "dexdump",
}
_FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
_TIMEOUT_S = 600.0


def sdk() -> Path | None:
    """Google's Android SDK, if ANDROID_HOME names one."""
    home = os.environ.get("ANDROID_HOME") or os.environ.get("ANDROID_SDK_ROOT")
    return Path(home) if home and Path(home).is_dir() else None


def find(program: str) -> str | None:
    """A program on PATH, else in the newest build-tools of the SDK; None if it is nowhere."""
    home = sdk()
    newest = sorted((home / "build-tools").glob("*"), key=lambda p: _version(p.name))[-1:] if home else []
    return shutil.which(program) or next((w for folder in newest if (w := shutil.which(program, path=folder))), None)


def need(program: str) -> str:
    """A program's path. Raises EnvironmentProblem with the Debian package that brings it."""
    found = find(program)
    if found is None:
        package = _PACKAGES.get(program, program)
        raise EnvironmentProblem(
            f"{program} was not found: the app cannot be built.",
            f"sudo apt-get install {package} (or set ANDROID_HOME).",
        )
    return found


def need_all() -> None:
    """Raise EnvironmentProblem naming every program and file that a build lacks, before it begins."""
    missing = [program for program in _PACKAGES if find(program) is None]
    if missing:
        packages = " ".join(dict.fromkeys(_PACKAGES[program] for program in missing))
        raise EnvironmentProblem(
            f"{', '.join(missing)} not found: the app cannot be built.",
            f"sudo apt-get install {packages} (or set ANDROID_HOME).",
        )
    framework()


def framework() -> Path:
    """What resources are linked against: the SDK's newest android.jar, else Debian's framework-res.apk."""
    home = sdk()
    jars = (
        sorted((home / "platforms").glob("android-*/android.jar"), key=lambda p: _version(p.parent.name))
        if home
        else []
    )
    if jars:
        return jars[-1]
    if not _FRAMEWORK.is_file():
        raise EnvironmentProblem(
            f"{_FRAMEWORK} is not there: the app cannot be built.",
            "sudo apt-get install android-framework-res (or set ANDROID_HOME).",
        )
    return _FRAMEWORK


def run(words: Sequence[str | Path], *, what: str, cwd: Path | None = None) -> str:
    """The output of a program of this build. Raises EnvironmentProblem with its last lines when it fails."""
    command = [need(str(words[0])), *map(str, words[1:])]
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(f"{what}: {words[0]} did not end within {_TIMEOUT_S:g} s.", "Try again.") from error
    text = done.stdout + done.stderr
    if done.returncode:
        lines = [line for line in text.splitlines() if line.strip()]
        raise EnvironmentProblem(f"{what}: {words[0]} failed. " + "\n".join(lines[-12:]), "See android_demo/README.md.")
    return text


def _version(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in name.replace("android-", "").split(".") if part.isdigit())
