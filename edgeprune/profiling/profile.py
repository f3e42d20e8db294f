"""Measure files on targets: every thread count in turn, phones side by side; all of it goes to the store."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from converters.artifact import Artifact
from edgeprune.progress import Progress
from edgeprune.targets.target import Target, on_each
from profilers.measurement import Latency, Measurement, Ratio

MakeTargets = Callable[[int], Sequence[Target]]


@dataclass(frozen=True)
class Row:
    """One file on one target. `ratio` is its latency over the first file's, paired, where two files were compared."""

    file: str
    target: str
    threads: int
    measurement: Measurement
    ratio: Ratio | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        ratio = asdict(self.ratio) if self.ratio else None
        return {**asdict(self), "measurement": self.measurement.to_json(), "ratio": ratio}


def profile(
    artifacts: Mapping[str, Artifact],
    threads: Sequence[int],
    make_targets: MakeTargets,
    progress: Progress,
    *,
    memory: bool = True,
) -> list[Row]:
    """Measure files, interleaved, by thread count and target. The targets store what they measure.

    Raises DeviceError, MeasurementError, RuntimeNotInstalled.
    """
    rows: list[Row] = []
    for count in threads:
        progress.stage(f"Measuring with {count} thread{'s' if count > 1 else ''}")

        def told(name: str, latency: Latency) -> None:
            progress.advance(min(latency.n, 2000), 2000, f"{name} {latency.median:.3f} ms")

        def measure(target: Target, count: int = count) -> list[Row]:
            names = list(artifacts)
            if len(names) == 2:
                one, other = (artifacts[name] for name in names)
                first, second, ratio = target.compare(one, other, on_progress=told)
                found = [Row(names[0], target.name, count, first), Row(names[1], target.name, count, second, ratio)]
            else:
                measured = target.measure(artifacts, memory=memory, on_progress=told)
                found = [Row(name, target.name, count, measured[name]) for name in names]
            return found

        rows += [row for found in on_each(make_targets(count), measure) for row in found]
    return rows
