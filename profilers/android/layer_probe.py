"""Times of single layers on a phone: all files pushed at once, run in one process, a handful of round trips in all."""

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from profilers.android.native_runner import Failed, NativeRunner
from profilers.android.station import Station
from profilers.errors import RuntimeNotInstalled
from profilers.host.layer_probe import EMPTY, batches, turn_time
from profilers.host.litert_flatbuffer import empty_file, layer_file
from profilers.layers import LayerCost, LayerKey

SECONDS_PER_PROBE = 0.03


class PhoneProber:
    """As the host's `LayerProber`: layers take turns in one process, their least times count, less an empty model's.

    Three round trips, however many layers: their files, the phone's conditions, all results.
    """

    def __init__(self, station: Station, threads: int = 1, cores: tuple[int, ...] = ()) -> None:
        if not isinstance(station.runner, NativeRunner):
            raise RuntimeNotInstalled("Layers are measured by the native runner.", "Use --runner native.")
        self._station, self._runner = station, station.runner
        self._threads, self._cores = threads, cores

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def time_ms(self, keys: Sequence[LayerKey]) -> list[float]:
        """Milliseconds of each layer; equal keys are timed once. Raises DeviceError, MeasurementError."""
        return [cost.ms for cost in self.costs(keys)]

    def costs(self, keys: Sequence[LayerKey]) -> list[LayerCost]:
        """As `time_ms`, with the number of runs and the time of day."""
        groups = [list(group) for group in batches(list(dict.fromkeys(keys)))]
        if not groups:
            return []
        names = {key: f"layer-{number}.tflite" for number, key in enumerate(k for group in groups for k in group)}
        with tempfile.TemporaryDirectory(prefix="edgeprune-probe-") as made:
            files = {EMPTY: empty_file()} | {name: layer_file(key) for key, name in names.items()}
            for name, content in files.items():
                (Path(made) / name).write_bytes(content)
            self._station.again(lambda: self._runner.folder.put_files({name: Path(made) / name for name in files}))
        _, doubts = self._station.fit()
        self._station.note(doubts)
        listed = [[EMPTY, *(names[key] for key in group)] for group in groups]
        answers = self._station.again(lambda: self._runner.batch(listed, self._threads, self._cores, SECONDS_PER_PROBE))
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        found: dict[LayerKey, LayerCost] = {}
        position = 0
        for group in groups:
            times = []
            for answer in answers[position : position + len(group) + 1]:
                if isinstance(answer, Failed):
                    raise answer.problem()
                samples = [sample / 1e6 for sample in answer.samples_ns]
                times.append((turn_time(samples), len(samples)))
            position += len(group) + 1
            overhead = times[0][0]
            for key, (ms, runs) in zip(group, times[1:], strict=True):
                found[key] = LayerCost(max(0.0, ms - overhead), runs, when)
        return [found[key] for key in keys]
