"""Serial numbers in files: only hashed. The hash finds the phone again among those that are attached."""

import hashlib
from collections.abc import Sequence

_MARK = "sha256:"


def digest(serial: str) -> str:
    """The first 16 hex digits of the SHA-256 of a serial number."""
    return hashlib.sha256(serial.encode()).hexdigest()[:16]


def hidden(serial: str) -> str:
    """A serial number as files keep it; what is hidden already stays."""
    return serial if serial.startswith(_MARK) else f"{_MARK}{digest(serial)}"


def found(wanted: str, attached: Sequence[str]) -> str:
    """The attached serial number that is meant, by itself or hidden; `wanted` if there is none."""
    return next((serial for serial in attached if wanted in (serial, hidden(serial))), wanted)


def without(words: Sequence[str], serials: Sequence[str]) -> list[str]:
    """The words of a command with serial numbers hidden, also as in `--serial=S`."""
    clean = list(words)
    for serial in serials:
        swap = {serial: hidden(serial), f"--serial={serial}": f"--serial={hidden(serial)}"}
        clean = [swap.get(word, word) for word in clean]
    return clean
