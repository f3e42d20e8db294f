"""Which cores to measure on when the caller does not say."""

import os
from collections.abc import Sequence
from pathlib import Path

CPUS = Path("/sys/devices/system/cpu")


def _speed(core: int) -> int:
    """A core's capacity or top clock as the system gives it; 0 where it does not."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        try:
            return int((CPUS / f"cpu{core}" / name).read_text())
        except (OSError, ValueError):
            continue
    return 0


def choose(threads: int, affinity: Sequence[int] | None) -> tuple[int, ...]:
    """The caller's cores; for None as many as there are threads, the fastest, of equals the last (0 serves interrupts).

    Models that take turns must share their cores, or each meets different neighbours: unpinned on a busy machine the
    ratio of two ResNet-20s spread by 9 to 17 % between repeats, pinned by 1 to 3 %. () means: do not pin.
    """
    if affinity is not None:
        return tuple(affinity)
    if not hasattr(os, "sched_getaffinity"):
        return ()
    allowed = sorted(os.sched_getaffinity(0), key=lambda core: (_speed(core), core), reverse=True)
    return tuple(sorted(allowed[:threads])) if threads < len(allowed) else ()
