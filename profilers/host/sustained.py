"""One file run back to back for minutes on this machine."""

import time
from collections.abc import Iterator, Sequence

from converters.artifact import Artifact
from profilers import statistics
from profilers.host import cores
from profilers.host.client import Worker
from profilers.measurement import Window

WINDOW_S = 5.0


def sustain(
    artifact: Artifact, seconds: float, *, threads: int = 1, affinity: Sequence[int] | None = None
) -> Iterator[Window]:
    """Windows of at most 5 s until `seconds` are over, in one process. Raises MeasurementError."""
    with Worker(affinity=cores.choose(threads, affinity), preload=artifact.format) as worker:
        worker.load("model", artifact.path, artifact.format, threads)
        run_ms = worker.warm("model", runs=3, seconds=0.3, max_seconds=20.0)
        window_s = min(WINDOW_S, seconds / 4)
        runs = max(1, round(window_s * 1e3 / run_ms))
        began = time.monotonic()
        while (after := time.monotonic() - began) < seconds:
            found = statistics.latency(worker.run("model", runs))
            yield Window(after, found.median, found.p90, found.n)
