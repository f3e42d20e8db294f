"""A phone's heat, battery and screen: before, after, and whether it is fit to measure."""

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from profilers.android.adb import Phone
from profilers.side_by_side import pause

HOT_C = 35.0
MIN_BATTERY = 50
POLL_S = 5.0
PATIENCE_S = 600.0
RISE_C = 1.0
SCRIPT = """echo == battery; dumpsys battery
echo == thermal; dumpsys thermalservice
echo == power; dumpsys power | grep mWakefulness=
echo == low_power; settings get global low_power
echo == governor; cat /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor 2>/dev/null
echo == end
true"""
WAKE = "input keyevent KEYCODE_WAKEUP 2>/dev/null; true"
_STATUS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

OnWait = Callable[[float, float, str], None]


def snapshot(phone: Phone) -> dict[str, Any]:
    """The phone's conditions now. Raises DeviceError."""
    return parse_conditions(phone.run(SCRIPT))


def parse_conditions(text: str) -> dict[str, Any]:
    """What SCRIPT prints as plain JSON types; what the phone does not tell is None."""
    parts = dict(re.findall(r"^== (\w+)\n(.*?)(?=^== |\Z)", text, re.MULTILINE | re.DOTALL))
    battery, thermal = parts.get("battery", ""), parts.get("thermal", "")
    tenths = _number(r"^\s*temperature: (-?\d+)", battery)
    low_power = parts.get("low_power", "").strip()
    awake = re.search(r"mWakefulness=(\w+)", parts.get("power", ""))
    governors = sorted(set(parts.get("governor", "").split()))
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "battery_percent": _number(r"^\s*level: (\d+)", battery),
        "battery_c": None if tenths is None else tenths / 10,
        "charging": None if not battery else bool(re.search(r"powered: true", battery)),
        "thermal_status": _number(r"^Thermal Status: (\d+)", thermal),
        "low_power": low_power == "1" if low_power in ("0", "1", "null") else None,
        "awake": awake[1] == "Awake" if awake else None,
        "governors": governors or None,
    }


def _number(pattern: str, text: str) -> int | None:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found[1]) if found else None


def worth_waiting(now: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Why the phone should not be measured yet, in words. `start`: conditions that heat is compared with."""
    reasons = []
    status, celsius = now["thermal_status"], now["battery_c"]
    if status:
        reasons.append(f"hot: thermal status {status} ({_STATUS[min(status, 6)]})")
    limit = HOT_C if start is None or start["battery_c"] is None else max(HOT_C, start["battery_c"] + RISE_C)
    if celsius is not None and celsius >= limit:
        reasons.append(f"hot: battery at {celsius:.1f} °C")
    if start is None and now["battery_percent"] is not None and now["battery_percent"] < MIN_BATTERY:
        reasons.append(f"battery at {now['battery_percent']} %, below {MIN_BATTERY} %")
    return tuple(reasons)


def flags_now(now: Mapping[str, Any], start: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """All that makes numbers doubtful that are measured now, in words."""
    reasons = list(worth_waiting(now, start))
    if now["low_power"]:
        reasons.append("battery saver is on: switch it off")
    if now["awake"] is False:
        reasons.append("screen off: switch it on, clocks may be low")
    return tuple(reasons)


def wait_until_fit(
    phone: Phone,
    *,
    start: Mapping[str, Any] | None = None,
    patience_s: float = PATIENCE_S,
    poll_s: float = POLL_S,
    on_wait: OnWait | None = None,
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(conditions, doubts left) once the phone is cool and charged, or patience is at its end; its screen is woken.

    `on_wait(seconds, of, why)` is told while it waits. Raises DeviceError.
    """
    begun = time.monotonic()
    now = snapshot(phone)
    if now["awake"] is False:
        phone.run(WAKE)
        now = snapshot(phone)
    while reasons := worth_waiting(now, start):
        waited = time.monotonic() - begun
        if waited >= patience_s:
            break
        if on_wait:
            on_wait(waited, patience_s, "; ".join(reasons))
        pause(min(poll_s, patience_s - waited))
        now = snapshot(phone)
    return now, flags_now(now, start)


def flags(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """What happened to the phone while it measured, in words."""
    found = [f"after measuring: {reason}" for reason in flags_now(after, before)]
    rise = (after["battery_c"] or 0) - (before["battery_c"] or 0)
    if before["battery_c"] is not None and after["battery_c"] is not None and rise > RISE_C:
        found.append(f"the battery warmed by {rise:.1f} °C")
    return tuple(found)
