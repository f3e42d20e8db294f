"""An app as a phone has it: its version, and whether adb may reach its files."""

import re
from dataclasses import dataclass

from profilers.android.adb import Phone


@dataclass(frozen=True)
class InstalledApp:
    """An installed app. `debuggable`: `run-as` works, since it was signed with a debug key."""

    version: str
    debuggable: bool


def installed_app(phone: Phone, package: str) -> InstalledApp | None:
    """What the phone says of a package; None if it is not there. Raises DeviceError."""
    return parse_package(phone.run(f"dumpsys package {package}"), package)


def parse_package(text: str, package: str) -> InstalledApp | None:
    """Read what `dumpsys package NAME` prints; the first block counts, later ones are versions hidden by updates."""
    block = text.partition(f"Package [{package}]")[2]
    if not block:
        return None
    version = re.search(r"^\s+versionName=(\S*)", block, re.MULTILINE)
    flags = re.search(r"^\s+(?:flags|pkgFlags)=\[([^\]]*)\]", block, re.MULTILINE)
    return InstalledApp(version[1] if version else "", bool(flags and "DEBUGGABLE" in flags[1].split()))
