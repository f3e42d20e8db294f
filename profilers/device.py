"""This machine: what it is, and a fingerprint that stays the same as long as its speed should."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path

from profilers.measurement import Device


def _first(path: str, key: str) -> str:
    """The value of the first "key : value" line of a /proc file, or ""."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.split(":", 1)[0].strip() == key), "")


def cpu_name() -> str:
    """The processor's name as the system gives it."""
    info = "/proc/cpuinfo"
    named = _first(info, "model name") or _first(info, "Hardware") or _apple_chip()
    return named or platform.processor() or platform.machine()


def _apple_chip() -> str:
    if platform.system() != "Darwin":
        return ""
    try:
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return asked.stdout.strip()


def memory_mib() -> float | None:
    """Main memory, MiB; None where the system does not say."""
    total = _first("/proc/meminfo", "MemTotal").split()
    return round(int(total[0]) / 1024, 1) if total else None


def _chip() -> str:
    info = "/proc/cpuinfo"
    keys = ("vendor_id", "cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant", "cache size")
    return " ".join(f"{key}={value}" for key in keys if (value := _first(info, key)))


def fingerprint() -> str:
    """16 hex digits over processor, core count, machine type and operating system: no names, serials or versions."""
    facts = (cpu_name(), _chip(), str(os.cpu_count()), platform.machine(), platform.system())
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


def describe(
    runtime: str,
    runtime_version: str,
    threads: int,
    affinity: tuple[int, ...] = (),
    affinity_seen: tuple[int, ...] = (),
    delegate: str = "xnnpack",
) -> Device:
    """This machine as the `Device` of a measurement."""
    return Device(
        name=cpu_name(),
        soc=_chip() or platform.machine(),
        os=f"{platform.system()} {platform.release()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        runtime=runtime,
        runtime_version=runtime_version,
        threads=threads,
        affinity=affinity,
        affinity_seen=affinity_seen,
        delegate=delegate,
        memory_mib=memory_mib(),
    )
