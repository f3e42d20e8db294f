"""Quantities as people write them: "20ms", "0.02s", "50fps", "4MB", "30MiB", "300M", "50%"."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from edgeprune.errors import UsageError

Kind = Literal["latency", "memory", "file_size", "macs"]
Statistic = Literal["median", "p90"]

# Factors to the base unit of each kind: ms, bytes, bytes, MACs.
_BYTES = {"B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_UNITS: dict[Kind, dict[str, float]] = {
    "latency": {"ms": 1.0, "s": 1e3, "us": 1e-3, "µs": 1e-3},
    "memory": _BYTES,
    "file_size": _BYTES,
    "macs": {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "MMACs": 1e6, "GMACs": 1e9},
}
_EXAMPLES: dict[Kind, str] = {
    "latency": "20ms, 0.02s, 50fps, 50% or p90:20ms",
    "memory": "30MB, 30MiB or 50%",
    "file_size": "4MB, 512KiB or 50%",
    "macs": "300M, 1.2G or 50%",
}
P90 = "p90:"
BASE_UNIT: dict[Kind, str] = {"latency": "ms", "memory": "bytes", "file_size": "bytes", "macs": "MACs"}


@dataclass(frozen=True)
class Limit:
    """An upper limit: `value` in the base unit of its kind (ms, bytes, MACs), or a fraction of the dense network's.

    Latency is limited at its median, or at its 90th percentile.
    """

    kind: Kind
    value: float
    relative: bool
    text: str
    statistic: Statistic = "median"

    def absolute(self, dense: float) -> float:
        """The limit in base units, given what the dense network takes."""
        return self.value * dense if self.relative else self.value

    def __str__(self) -> str:
        if self.relative:
            return f"{self.value * 100:g} % of the dense network's"
        if self.kind == "latency":
            return f"{self.value:g} ms"
        if self.kind == "macs":
            return f"{self.value / 1e6:g} M MACs"
        return f"{self.value / 1e6:g} MB"


def readable(value: float) -> str:
    """A number without an exponent: 4 significant digits below 1000, all of the whole digits above."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def parse_limit(kind: Kind, text: str | float) -> Limit:
    """Read a limit. A bare number is refused except for MACs: 20 of what?

    Raises UsageError for anything that is not a positive quantity of this kind.
    """
    written = str(text).strip()
    if kind == "latency" and written.startswith(P90):
        limit = parse_limit(kind, written.removeprefix(P90))
        if limit.relative:
            raise UsageError(f"--latency {written!r} is relative.", "Write the 90th percentile like p90:20ms.")
        return replace(limit, statistic="p90", text=written)
    flag = "--" + kind.replace("_", "-")
    match = re.fullmatch(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ%]*)", written)
    problem = UsageError(f"{flag} {written!r} cannot be read.", f"Write it like {_EXAMPLES[kind]}.")
    if match is None:
        raise problem
    number, unit = float(match.group(1)), match.group(2)
    if number <= 0 or number == float("inf"):
        raise UsageError(f"{flag} {written!r} is not a positive amount.", f"Write it like {_EXAMPLES[kind]}.")
    if unit == "%":
        if number > 100:
            raise UsageError(f"{flag} {written!r} is more than the dense network takes.", "Give at most 100%.")
        return Limit(kind, number / 100, True, written)
    if kind == "latency" and unit == "fps":
        return Limit(kind, 1e3 / number, False, written)
    if unit not in _UNITS[kind]:
        raise problem
    return Limit(kind, number * _UNITS[kind][unit], False, written)


def parse_share(text: str | float) -> float:
    """A share in (0, 1], written like 10% or 0.1. Raises UsageError."""
    written = str(text).strip()
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*(%?)", written)
    value = float(match.group(1)) / (100 if match.group(2) else 1) if match else 0.0
    if not 0 < value <= 1:
        raise UsageError(f"{written!r} is no share of a whole.", "Write it like 10% or 0.1.")
    return value
