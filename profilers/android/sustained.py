"""One file run back to back for minutes on a phone: that is how it gets hot."""

import time
from collections.abc import Iterator

from converters.artifact import Artifact
from profilers import statistics
from profilers.android import conditions
from profilers.android.station import Station
from profilers.android.turn import Turn
from profilers.measurement import Window

WINDOW_S = 10.0


def sustain(
    station: Station, artifact: Artifact, seconds: float, *, threads: int = 1, cores: tuple[int, ...] = ()
) -> Iterator[Window]:
    """Windows of at most 10 s until `seconds` are over, with temperature and thermal status at the end of each.

    Only before the first is the phone waited for: later heat is what is measured. Raises DeviceError, MeasurementError.
    """
    station.put([artifact])
    station.fit()
    window_s = min(WINDOW_S, seconds / 4)
    turn = Turn(
        artifact,
        threads,
        cores,
        warmup_runs=1,
        warmup_seconds=0.0,
        min_runs=1,
        max_runs=1_000_000,
        min_seconds=window_s,
        max_seconds=window_s,
    )
    began = time.monotonic()
    while (after := time.monotonic() - began) < seconds:
        (report,) = station.run([turn])
        found, now = statistics.latency(report.samples_ms), conditions.snapshot(station.phone)
        yield Window(after, found.median, found.p90, found.n, now["battery_c"], now["thermal_status"])
