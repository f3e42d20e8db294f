"""Many candidates against one reference on a phone: few round trips, a fresh process a turn."""

from types import TracebackType
from typing import Self

from converters.artifact import Artifact
from profilers import statistics
from profilers.android.station import Station
from profilers.android.turn import Turn
from profilers.measurement import Latency, Ratio
from profilers.protocol import BENCH

ROUNDS = 3


class PhoneBench:
    """A context manager. A candidate takes three round trips: its file, the phone's conditions, all turns in one."""

    def __init__(self, station: Station, reference: Artifact, threads: int = 1, cores: tuple[int, ...] = ()) -> None:
        self._station, self._reference, self._threads, self._cores = station, reference, threads, cores
        self._start: dict[str, object] | None = None

    def __enter__(self) -> Self:
        self._station.put([self._reference])
        self._start, doubts = self._station.fit()
        self._station.note(doubts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def ratio(self, candidate: Artifact, seconds: float = 1.0) -> tuple[Ratio, Latency]:
        """(candidate / reference paired over A-B-B-A rounds, the candidate's latency in ms).

        Takes about `seconds`, besides starting, loading and 0.1 s of warm-up in each of its 12 processes. What makes
        the phone doubtful meanwhile is among the station's notes; the file is removed with the next script. Raises
        DeviceError, MeasurementError.
        """
        self._station.put([candidate])
        _, doubts = self._station.fit(start=self._start)
        self._station.note(doubts)
        one, other = (self._turn(artifact, seconds) for artifact in (self._reference, candidate))
        reports = self._station.run([one, other, other, one] * ROUNDS)
        self._station.runner.drop([candidate])
        samples = [report.samples_ms for report in reports]
        references = [samples[4 * n + k] for n in range(ROUNDS) for k in (0, 3)]
        candidates = [samples[4 * n + k] for n in range(ROUNDS) for k in (1, 2)]
        return (
            statistics.paired_ratio(references, candidates),
            statistics.latency([sample for turn in candidates for sample in turn]),
        )

    def _turn(self, artifact: Artifact, seconds: float) -> Turn:
        return Turn(
            artifact,
            self._threads,
            self._cores,
            warmup_runs=BENCH.warmup_runs,
            warmup_seconds=BENCH.warmup_seconds,
            min_runs=BENCH.burst_runs[0],
            min_seconds=seconds / (4 * ROUNDS),
            max_seconds=seconds,
        )
