"""The option `--cores`: read without a phone, then resolved on one."""

import re

from edgeprune.errors import UsageError
from profilers.android.facts import Cluster, parse_cores


def check_cores(text: str) -> None:
    """Raise UsageError for what names cores of no phone."""
    if text not in ("big", "little") and not re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
        raise UsageError(
            f"--cores {text!r} is neither big nor little nor a hexadecimal mask of cores, such as f0 for 4 to 7.",
            "`edgeprune devices` lists a phone's cores with their masks.",
        )


def cores_named(text: str | None, clusters: tuple[Cluster, ...]) -> tuple[int, ...]:
    """The cores that the option names on this phone. Raises UsageError."""
    if not text:
        return ()
    check_cores(text)
    try:
        return parse_cores(text, clusters)
    except ValueError as error:
        masks = ", ".join(f"--cores {sum(1 << core for core in c.cores):x} ({c})" for c in clusters)
        raise UsageError(f"{error}.", f"This phone has {masks or 'told no cores'}.") from error
