"""When a series has been measured for long enough (after MLPerf Mobile single-stream; the stop rule is ours)."""

from collections.abc import Sequence
from dataclasses import dataclass

from profilers.statistics import relative_half_width


@dataclass(frozen=True)
class Protocol:
    """Counts are runs, times are seconds. Models take turns of about `burst_seconds`, within `burst_runs`."""

    warmup_runs: int = 10
    warmup_seconds: float = 1.0
    warmup_max_seconds: float = 20.0
    min_runs: int = 100
    min_seconds: float = 2.0
    max_runs: int = 2000
    max_seconds: float = 60.0
    half_width: float = 0.02
    burst_seconds: float = 0.02
    burst_runs: tuple[int, int] = (5, 50)

    def burst(self, run_ms: float) -> int:
        """Runs in one turn for a model that takes `run_ms`."""
        low, high = self.burst_runs
        return max(low, min(high, round(self.burst_seconds * 1e3 / max(run_ms, 1e-6))))

    def done(self, samples_ms: Sequence[float]) -> bool:
        """At least `min_runs` and `min_seconds` and the median known within `half_width`; or a maximum is reached."""
        runs, seconds = len(samples_ms), sum(samples_ms) / 1e3
        if runs >= self.max_runs or seconds >= self.max_seconds:
            return True
        if runs < self.min_runs or seconds < self.min_seconds:
            return False
        return relative_half_width(samples_ms) <= self.half_width


FULL = Protocol()
QUICK = Protocol(
    warmup_runs=3, warmup_seconds=0.0, min_runs=30, min_seconds=0.0, max_runs=30, max_seconds=20.0, burst_runs=(3, 5)
)
BENCH = Protocol(warmup_runs=5, warmup_seconds=0.1, warmup_max_seconds=5.0, burst_seconds=0.005, burst_runs=(5, 50))
