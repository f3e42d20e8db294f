"""Many candidates against one reference, fast: for a search loop, where a second each must do."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from converters.artifact import Artifact
from profilers import statistics
from profilers.host import cores
from profilers.host.client import Worker
from profilers.host.runner import Lane, interleave
from profilers.measurement import Latency, Ratio
from profilers.protocol import BENCH

MIN_ROUNDS = 3
SURE_ROUNDS, SURE_HALF_WIDTH = 4, 0.005


def _sure(ratio: Ratio) -> bool:
    low, high = ratio.ci95
    return max(high - ratio.median, ratio.median - low) <= SURE_HALF_WIDTH * ratio.median


class HostBench:
    """Keeps the reference loaded in one process and gives every candidate a fresh one; a context manager.

    While the caller prepares the next candidate, the process for it already starts up.
    """

    def __init__(
        self,
        reference: Artifact,
        *,
        threads: int = 1,
        affinity: Sequence[int] | None = None,
        timeout_s: float = 120.0,
    ) -> None:
        self._threads, self._affinity, self._timeout_s = threads, cores.choose(threads, affinity), timeout_s
        self._reference = Lane(reference, threads, self._worker(reference.format))
        self._samples: list[float] = []
        self._spare: tuple[str, Worker] | None = None
        try:
            self._reference.prepare(BENCH)
            self._spare = (reference.format, self._worker(reference.format))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        self._reference.worker.close()
        if self._spare is not None:
            self._spare[1].close()
            self._spare = None

    @property
    def reference(self) -> Latency:
        """The reference over all comparisons so far, ms. Raises ValueError before the first."""
        return statistics.latency(self._samples)

    def ratio(self, candidate: Artifact, seconds: float = 1.0) -> tuple[Ratio, Latency]:
        """(candidate / reference paired over A-B-B-A rounds, the candidate's latency in ms).

        Takes about `seconds`, at least 3 rounds, besides loading and 0.1 s of warm-up; less when after 4 rounds or more
        the 95 % interval of the ratio is within half a per cent. Raises MeasurementError.
        """
        with self._fresh(candidate.format) as worker:
            lane = Lane(candidate, self._threads, worker)
            lane.prepare(BENCH)
            self._reference.turns = []
            end = time.monotonic() + seconds

            def done(rounds: int) -> bool:
                if rounds < MIN_ROUNDS or time.monotonic() >= end:
                    return rounds >= MIN_ROUNDS
                return rounds >= SURE_ROUNDS and _sure(statistics.paired_ratio(self._reference.turns, lane.turns))

            interleave([self._reference, lane], done)
        self._samples += self._reference.samples
        self._spare = (candidate.format, self._worker(candidate.format))
        return statistics.paired_ratio(self._reference.turns, lane.turns), statistics.latency(lane.samples)

    def _worker(self, format: str) -> Worker:
        return Worker(affinity=self._affinity, preload=format, timeout_s=self._timeout_s)

    def _fresh(self, format: str) -> Worker:
        spare, self._spare = self._spare, None
        if spare is not None and spare[0] == format:
            return spare[1]
        if spare is not None:
            spare[1].close()
        return self._worker(format)
