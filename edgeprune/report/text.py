"""Numbers as text: three significant digits, a unit that fits, and "not measured" where there is none."""

from math import isfinite

MISSING = "not measured"


def significant(value: float, digits: int = 3) -> str:
    """`value` with that many significant digits and no exponent; whole digits are kept: 0.570, 12.3, 1234."""
    if not isfinite(value):
        return str(value)
    exponent = int(f"{value:.{digits - 1}e}".split("e")[1])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def milliseconds(value: float | None) -> str:
    """A latency in ms."""
    return MISSING if value is None else f"{significant(value)} ms"


def mebibytes(value: float | None) -> str:
    """A memory in MiB."""
    return MISSING if value is None else f"{significant(value)} MiB"


def percent(fraction: float | None, digits: int = 2) -> str:
    """A fraction as a percentage: 0.9235 is "92.35 %"."""
    return MISSING if fraction is None else f"{100 * fraction:.{digits}f} %"


def points(delta: float | None) -> str:
    """A difference of two fractions in percentage points, signed: -0.0054 is "-0.54 pts"."""
    return "" if delta is None else f"{100 * delta:+.2f} pts"


def count(value: float | None) -> str:
    """A number of MACs or parameters: 268336 is "268 k"."""
    return MISSING if value is None else _scaled(value, (("G", 1e9), ("M", 1e6), ("k", 1e3)), "")


def size(value: float | None) -> str:
    """Bytes in decimal units, as file managers show them: 1084272 is "1.08 MB"."""
    return MISSING if value is None else _scaled(value, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), " B")


def _scaled(value: float, steps: tuple[tuple[str, float], ...], unit: str) -> str:
    for name, factor in steps:
        if abs(value) >= 0.9995 * factor:
            return f"{significant(value / factor)} {name}"
    return f"{value:.0f}{unit}"


def quantity(value: float | None, unit: str) -> str:
    """A value in the unit that result.json names beside it."""
    if value is None:
        return MISSING
    if unit in ("bytes", "B"):
        return size(value)
    if unit == "MACs":
        return f"{count(value)} MACs"
    return f"{significant(value)} {unit}".strip()


def duration(seconds: float) -> str:
    """A time span: "48 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
