"""Candidates of the closed loop: built, converted and timed against the dense file, before any training."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

from converters.artifact import SUFFIXES, Artifact
from edgeprune.graph import Coupling
from edgeprune.pipeline.candidate_files import CandidateFiles
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.judge import upper_end
from edgeprune.pipeline.quantize import CANDIDATE_IMAGES, calibration, options
from edgeprune.pipeline.timings import Timing, Timings
from edgeprune.quantity import Statistic
from edgeprune.search.limits import Latency, Measured
from edgeprune.targets.target import Bench, on_each
from profilers.errors import MeasurementError
from profilers.measurement import Latency as LatencyOfOne
from profilers.measurement import Ratio

_SECONDS, _LONGER = 2.0, 4  # a candidate whose interval is wide is measured once more, that many times as long
_WIDE = 0.05


class Candidates:
    """Builds and times networks of given widths on every target, in the run's number format; a context manager.

    `dense` is the float32 file and `dense_ms` its latency on each target. int8 candidates are calibrated before they
    are timed: where branches meet, their scales decide what has to be requantised.

    A relative budget is judged on the upper end of the ratio's 95 % interval, an absolute one on that of the
    candidate's own median or 90th percentile: `relative` and `statistic` say which. `latency` tells which target is
    worst; None for the only one. What is in `timings` is not timed again.
    """

    def __init__(
        self,
        job: Job,
        coupling: Coupling,
        dense: Artifact,
        dense_ms: Sequence[float],
        *,
        relative: bool,
        statistic: Statistic = "median",
        latency: Latency | None = None,
        timings: Timings | None = None,
    ) -> None:
        self._job, self._coupling, self._latency, self._timings = job, coupling, latency, timings
        self._dense_ms, self._relative, self._statistic = dense_ms, relative, statistic
        self._format = dense.format
        how = options(job, calibration(job, CANDIDATE_IMAGES))
        self._files = CandidateFiles(job.model, job.example_inputs, coupling, dense, how, job.progress.note)
        self._dense, self._count = dense, 0
        self._stack = ExitStack()
        self._benches: list[Bench] = []
        self._folder = Path()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeprune-candidates-")))
            self._benches = [stack.enter_context(target.bench(self._dense)) for target in self._job.targets.all]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def measure(self, counts: Mapping[str, int], kept: dict[str, Tensor]) -> Measured:
        """Milliseconds of the network that keeps these units: its ratio to dense times dense's milliseconds."""
        targets = [target.fingerprint() for target in self._job.targets.all]
        known = self._timings.get(targets, counts) if self._timings is not None else None
        both = known or self._built_and_timed(counts, kept)
        if known:
            self._job.progress.note("candidate timed before in this run: not measured again")
        elif self._timings is not None:
            self._timings.put(targets, counts, both)
        each, upper = tuple(timing.ms for timing in both), tuple(timing.upper for timing in both)
        if self._latency is None:
            return Measured(each[0], upper[0])
        return Measured(self._latency.worst(each), self._latency.worst(upper), each)

    def _built_and_timed(self, counts: Mapping[str, int], kept: dict[str, Tensor]) -> tuple[Timing, ...]:
        trips, started = self._job.targets.trips, time.monotonic()
        path = self._folder / f"{self._count}{SUFFIXES[self._format]}"
        self._count += 1
        try:
            found = self._time(self._files.make(counts, kept, path))
        except MeasurementError as error:
            if not self._files.reshapes:
                raise
            self._files.distrust(f"the reshaped file does not run: {error.message}")
            found = self._time(self._files.make(counts, kept, path))
        if trips is not None and self._job.targets.trips is not None:
            took = f"{self._job.targets.trips - trips} adb round trips, {time.monotonic() - started:.1f} s"
            self._job.progress.note(f"candidate built and measured: {took}")
        if self._relative:
            return tuple(
                Timing(r.median * ms, r.ci95[1] * ms) for (r, _), ms in zip(found, self._dense_ms, strict=True)
            )
        return tuple(self._absolute(latency) for _, latency in found)

    def _time(self, artifact: Artifact) -> list[tuple[Ratio, LatencyOfOne]]:
        """Paired with the dense file on every target; once more where noise hides what it takes."""

        def measured(bench: Bench) -> tuple[Ratio, LatencyOfOne]:
            found = bench.ratio(artifact, seconds=_SECONDS)
            wide = found[0].ci95[1] > (1 + _WIDE) * found[0].median
            return bench.ratio(artifact, seconds=_LONGER * _SECONDS) if wide else found

        return on_each(self._benches, measured)

    def _absolute(self, latency: LatencyOfOne) -> Timing:
        about = latency.median if self._statistic == "median" else latency.p90
        return Timing(about, upper_end(self._statistic, latency))
