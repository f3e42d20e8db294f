"""Which phones adb sees, in which state, and which one is meant."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from profilers.android.adb import Adb, Phone
from profilers.android.serials import found, hidden
from profilers.errors import DeviceError

READY = "device"
# State as adb names it -> what to do about it.
CURES = {
    "unauthorized": "unlock the phone and accept the question about USB debugging on its screen",
    "authorizing": "wait a moment, and accept the question on the phone's screen",
    "offline": "unplug and replug it, or `adb kill-server`",
    "connecting": "wait a moment",
    "no permissions": "add a udev rule for the phone, or the user to the group plugdev",
    "recovery": "restart the phone into Android",
    "sideload": "restart the phone into Android",
    "bootloader": "restart the phone into Android",
}
ATTACH = "Attach one, switch on USB debugging in its developer options, and accept the question on its screen."
# Serial number, state (which may be a sentence), and what -l adds.
_LINE = re.compile(
    r"(\(no serial number\)|\S+)\s+(\S.*?)(?:\s+(?:usb|product|model|device|features|transport_id):\S*)*\s*"
)


@dataclass(frozen=True)
class Attached:
    """A line of `adb devices`: serial number and state ("device" means ready)."""

    serial: str
    state: str

    @property
    def ready(self) -> bool:
        """True if it can be asked things."""
        return self.state == READY

    @property
    def cure(self) -> str:
        """What to do about its state; "" if it is ready."""
        if self.ready:
            return ""
        return next((cure for state, cure in CURES.items() if self.state.startswith(state)), "see `adb devices`")

    def __str__(self) -> str:
        return self.serial if self.ready else f"{self.serial} ({self.state})"


def attached(adb: Adb) -> list[Attached]:
    """All phones adb lists, ready or not. Raises DeviceError when adb does not answer."""
    listing = adb.call("devices")
    if listing.code:
        raise DeviceError(
            f"adb does not answer: {listing.text.strip()[-300:]}", "Try `adb kill-server`, then `adb devices`."
        )
    return parse_devices(listing.text)


def parse_devices(listing: str) -> list[Attached]:
    """Read what `adb devices`, with or without -l, prints: a heading, then a line a phone."""
    lines = listing.partition("List of devices attached")[2].splitlines()
    found = [_LINE.fullmatch(line) for line in lines if not line.startswith("*")]
    return [Attached(line[1], line[2]) for line in found if line]


def choose(phones: Sequence[Attached], serials: Sequence[str] = ()) -> list[str]:
    """The phones to use: those named (also as files keep them), else $ANDROID_SERIAL, else the only one.

    Raises DeviceError when one is missing or not ready, or when there are several and none is named.
    """
    there = [phone.serial for phone in phones]
    named = serials or [s for s in (os.environ.get("ANDROID_SERIAL"),) if s]
    wanted = list(dict.fromkeys(found(serial, there) for serial in named))
    listed = ", ".join(map(str, phones)) or "none"
    if not phones:
        raise DeviceError("No phone: adb lists no device.", ATTACH)
    if not wanted:
        ready = [phone for phone in phones if phone.ready]
        if len(ready) > 1:
            raise DeviceError(f"{len(ready)} phones are attached: {listed}.", "Pass --serial, or set ANDROID_SERIAL.")
        if not ready:
            cures = "; ".join(f"{phone.serial}: {phone.cure}" for phone in phones)
            raise DeviceError(f"No phone is ready: {listed}.", f"Do this: {cures}.")
        return [ready[0].serial]
    by_serial = {phone.serial: phone for phone in phones}
    for serial in wanted:
        phone = by_serial.get(serial)
        if phone is None:
            cure = "Check --serial and ANDROID_SERIAL."
            if hidden(serial) == serial:  # from a file of a run
                cure = "Attach the phone that the run was made for, or name another with --serial."
            raise DeviceError(f"Phone {serial} is not attached; found: {listed}.", cure)
        if not phone.ready:
            raise DeviceError(f"Phone {serial} is {phone.state}.", f"Do this: {phone.cure}.")
    return wanted


def open_phones(serials: Sequence[str] = (), adb: Adb | None = None) -> list[Phone]:
    """The phones chosen by `choose`. Raises DeviceError."""
    adb = adb or Adb()
    return [Phone(adb, serial) for serial in choose(attached(adb), serials)]
