"""What else the machine was doing while it measured, and what of that makes the numbers doubtful."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _cpu_seconds() -> tuple[float, float] | None:
    """(busy, stolen) seconds of all cores since boot, from /proc/stat; None where there is none."""
    text = _read(Path("/proc/stat"))
    if text is None:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (
        int(n) / ticks for n in text.split("\n")[0].split()[1:]
    )
    return user + nice + system + irq + softirq, steal


def snapshot() -> dict[str, Any]:
    """Time, load, governor, clock (MHz) and CPU seconds so far; a value the system does not give is None."""
    seconds = _cpu_seconds()
    khz = _read(CPUFREQ / "scaling_cur_freq")
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "monotonic_s": time.monotonic(),
        "load_1min": os.getloadavg()[0],
        "cores": os.cpu_count() or 1,
        "governor": _read(CPUFREQ / "scaling_governor"),
        "clock_mhz": int(khz) / 1000 if khz else None,
        "busy_s": seconds[0] if seconds else None,
        "steal_s": seconds[1] if seconds else None,
    }


def flags(before: Mapping[str, Any], after: Mapping[str, Any], own_cpu_s: float) -> tuple[str, ...]:
    """Doubts, in words. `own_cpu_s` is the CPU time that measuring itself took between the two snapshots."""
    found = []
    cores, elapsed = before["cores"], after["monotonic_s"] - before["monotonic_s"]
    if before["busy_s"] is not None and elapsed > 0:
        others = (after["busy_s"] - before["busy_s"] - own_cpu_s) / elapsed
        if others > 0.25:
            found.append(
                f"machine busy: other processes used {others:.1f} of {cores} cores, load {before['load_1min']:.1f}"
            )
        steal = (after["steal_s"] - before["steal_s"]) / elapsed / cores
        if steal > 0.02:
            found.append(f"virtual machine: the host took {steal:.0%} of the CPU time")
    elif before["load_1min"] > cores / 2:
        found.append(f"machine busy: load {before['load_1min']:.1f} on {cores} cores")
    if before["governor"] in ("powersave", "conservative"):
        found.append(f"the CPU governor is {before['governor']}: clocks may vary")
    return tuple(found)
