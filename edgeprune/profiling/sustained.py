"""Latency over minutes: a device gets hot, and the first seconds say little about the tenth minute."""

import statistics
import time
from dataclasses import asdict, dataclass
from typing import Any

from converters.artifact import Artifact
from edgeprune.progress import Progress
from edgeprune.targets.target import Target
from profilers.measurement import Kind, Window

SLOWER = 1.05


@dataclass(frozen=True)
class Sustained:
    """Windows of back-to-back runs, oldest first."""

    file: str
    target: str
    threads: int
    kind: Kind
    windows: tuple[Window, ...]

    @property
    def drift(self) -> float:
        """The last quarter's median over the first's."""
        quarter = max(1, len(self.windows) // 4)
        first, last = self.windows[:quarter], self.windows[-quarter:]
        return statistics.median(w.median for w in last) / statistics.median(w.median for w in first)

    @property
    def verdict(self) -> str:
        """Whether it slowed down, in words."""
        if self.drift > SLOWER:
            return f"Slowing down: the last quarter takes {self.drift:.2f} times as long as the first."
        return f"Steady: the last quarter takes {self.drift:.2f} times as long as the first."

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "drift": self.drift}


def sustain(
    name: str, artifact: Artifact, target: Target, threads: int, seconds: float, progress: Progress
) -> Sustained:
    """Run a file back to back for `seconds`. Raises DeviceError, MeasurementError."""
    progress.stage(f"Running {name} for {seconds:g} s on {target.name}")
    windows: list[Window] = []
    began = time.monotonic()
    for window in target.sustain(artifact, seconds):
        windows.append(window)
        progress.advance(time.monotonic() - began, seconds, f"{window.median:.3f} ms")
    return Sustained(name, target.name, threads, target.kind, tuple(windows))
