"""Which phones adb sees."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

_TIMEOUT_S = 20.0
# Serial number, state (which may be a sentence), and what -l adds.
_LINE = re.compile(
    r"(\(no serial number\)|\S+)\s+(\S.*?)(?:\s+(?:usb|product|model|device|features|transport_id):\S*)*\s*"
)


@dataclass(frozen=True)
class Attached:
    """A line of `adb devices`: serial number and state ("device" means ready)."""

    serial: str
    state: str


def find_adb() -> str | None:
    """The adb program: on PATH, else in $ANDROID_HOME/platform-tools."""
    home = os.environ.get("ANDROID_HOME") or os.environ.get("ANDROID_SDK_ROOT")
    places = os.pathsep.join(filter(None, [os.environ.get("PATH"), home and os.path.join(home, "platform-tools")]))
    return shutil.which("adb", path=places)


def attached(adb: str) -> list[Attached]:
    """All phones adb lists, ready or not. Raises OSError or subprocess.SubprocessError when adb does not answer."""
    listing = subprocess.run([adb, "devices"], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True).stdout
    return parse_devices(listing)


def parse_devices(listing: str) -> list[Attached]:
    """Read what `adb devices`, with or without -l, prints: a heading, then a line a phone."""
    lines = listing.partition("List of devices attached")[2].splitlines()
    found = [_LINE.fullmatch(line) for line in lines if not line.startswith("*")]
    return [Attached(line[1], line[2]) for line in found if line]
