"""Candidates of the closed loop: built, converted and timed against the dense file, before any training."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from torch import Tensor

import converters
from converters.artifact import SUFFIXES, Artifact
from edgeprune.graph import Coupling, prune
from edgeprune.pipeline.job import Job
from edgeprune.pipeline.quantize import CANDIDATE_IMAGES, calibration, options
from edgeprune.search.loop import Measured
from profilers.host.bench import HostBench
from profilers.measurement import Ratio

_SECONDS = 2.0


class Candidates:
    """Builds and times networks of given widths on this machine, in the run's number format; a context manager.

    `dense` is the float32 file and `dense_ms` its latency. int8 candidates are calibrated before they are timed: where
    branches meet, their scales decide what has to be requantised.

    `ratios` keeps the paired ratio of every candidate, in order. A relative budget is judged on the upper end of the
    ratio's 95 % interval, an absolute one on that of the candidate's own median: `relative` says which.
    """

    def __init__(self, job: Job, coupling: Coupling, dense: Artifact, dense_ms: float, *, relative: bool) -> None:
        self._job, self._coupling = job, coupling
        self._dense_ms, self._relative = dense_ms, relative
        self._format = dense.format
        self._options = options(job, dense.format, calibration(job, CANDIDATE_IMAGES))
        self._bench = HostBench(dense, threads=job.config.threads)
        self._folder = tempfile.TemporaryDirectory(prefix="edgeprune-candidates-")
        self.ratios: list[Ratio] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bench.close()
        self._folder.cleanup()

    def measure(self, counts: Mapping[str, int], kept: dict[str, Tensor]) -> Measured:  # noqa: ARG002 - search's Measure
        """Milliseconds of the network that keeps these units: its ratio to dense times dense's milliseconds."""
        pruned, _ = prune(self._job.model, self._coupling, kept)
        path = Path(self._folder.name) / f"{len(self.ratios)}{SUFFIXES[self._format]}"
        artifact = converters.convert(pruned, self._job.example_inputs, self._format, path, self._options)
        ratio, latency = self._bench.ratio(artifact, seconds=_SECONDS)
        self.ratios.append(ratio)
        if self._relative:
            return Measured(ratio.median * self._dense_ms, ratio.ci95[1] * self._dense_ms)
        return Measured(latency.median, latency.ci95[1])
