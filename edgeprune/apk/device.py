"""The app on a phone: installed and started through adb."""

import re
from pathlib import Path

from edgeprune.errors import DeviceError
from profilers.android.adb import Phone
from profilers.android.app import PACKAGE

MAIN = f"{PACKAGE}/.MainActivity"
_INSTALL_S = 180.0
# What the phone says when it refuses an app -> what to do about it.
_CURES = {
    "UPDATE_INCOMPATIBLE": f"It has the app with another signature: adb uninstall {PACKAGE}, then install again.",
    "VERSION_DOWNGRADE": f"It has a newer version: adb uninstall {PACKAGE}, then install again.",
    "INSUFFICIENT_STORAGE": "Free some space on the phone.",
    "USER_RESTRICTED": "Allow installation over USB in the phone's developer options.",
    "NO_MATCHING_ABIS": "The app is for 64-bit phones (arm64-v8a, x86_64).",
    "OLDER_SDK": "The app needs Android 7 or newer.",
}


def install(phone: Phone, apk: Path) -> None:
    """Install or update the app. Raises DeviceError with what the phone says."""
    done = phone.adb.call("-s", phone.serial, "install", "-r", str(apk.absolute()), timeout_s=_INSTALL_S)
    if done.code == 0 and re.search(r"^Success", done.text, re.MULTILINE):
        return
    said = re.search(r"Failure \[([^\]]*)\]", done.text)
    reason = said[1] if said else done.text.strip()[-300:] or f"adb ended with exit code {done.code}"
    cure = next((cure for word, cure in _CURES.items() if word in reason), "Check the cable, and look at the phone.")
    raise DeviceError(f"Phone {phone.serial} did not install {apk.name}: {reason}.", cure)


def start(phone: Phone) -> None:
    """Bring the app to the screen. Raises DeviceError if it is not installed."""
    if "package:" not in phone.run(f"pm path {PACKAGE} || true"):
        raise DeviceError(f"The app is not on phone {phone.serial}.", "edgeprune app install RUN.")
    said = phone.run(f"am start -n {MAIN} || true")
    if "Error" in said:
        raise DeviceError(
            f"Phone {phone.serial} did not start the app: {said.strip()[-300:].rstrip('.')}.", "Start it by hand."
        )
