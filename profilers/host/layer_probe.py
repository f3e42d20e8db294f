"""Times of single layers on this machine, hundreds in seconds.

Each layer is a file of its own in one process. All take turns, a few runs each, round after round, so that noise hits
all alike and each turn starts with caches that hold other layers' data, as inside a network. A layer's time is the
first decile over its turns of the least run of each turn, less the same of an almost empty model (ours).
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from profilers.host import cores
from profilers.host.client import Worker
from profilers.host.litert_flatbuffer import empty_file, layer_file
from profilers.layers import LayerCost, LayerKey
from profilers.statistics import quantile

__all__ = ["LayerCost", "LayerKey", "LayerProber"]

BURST = 3
ROUNDS = (5, 150)
TOGETHER_MIB = 256.0
EMPTY = "empty"

OnProgress = Callable[[int, int], None]


def _mib(key: LayerKey) -> float:
    """Roughly what a loaded probe holds: weights in the file and packed, and its activations."""
    maps = key.c_in * key.in_hw[0] * key.in_hw[1] + key.c_out * key.out_hw[0] * key.out_hw[1]
    return 4 * (2 * key.weights() + maps) / 2**20


def batches(keys: Sequence[LayerKey]) -> Iterator[list[LayerKey]]:
    """Probes that are loaded together, light ones first so that the heavy do not ration the rounds of the light."""
    batch: list[LayerKey] = []
    held = 0.0
    for key in sorted(keys, key=LayerKey.macs):
        if batch and held + _mib(key) > TOGETHER_MIB:
            yield batch
            batch, held = [], 0.0
        batch.append(key)
        held += _mib(key)
    if batch:
        yield batch


def turn_time(samples_ms: Sequence[float], burst: int = BURST) -> float:
    """First decile over turns of the least sample of each turn of `burst` runs, ms."""
    return quantile(sorted(min(samples_ms[i : i + burst]) for i in range(0, len(samples_ms), burst)), 0.1)


class LayerProber:
    """Times layers in one LiteRT process; a context manager.

    `seconds_per_probe` is the measuring time aimed at for each layer (within 5 to 150 turns of 3 runs). Attributes:
    `runtime`, `runtime_version` and `overhead_ms` (an invocation of an almost empty model) once something was timed.
    """

    def __init__(
        self,
        threads: int = 1,
        affinity: Sequence[int] | None = None,
        *,
        seconds_per_probe: float = 0.03,
        timeout_s: float = 120.0,
        on_progress: OnProgress | None = None,
    ) -> None:
        self.threads = threads
        self.runtime, self.runtime_version, self.overhead_ms = "litert", "", 0.0
        self._seconds, self._on_progress = seconds_per_probe, on_progress
        self._worker = Worker(affinity=cores.choose(threads, affinity), preload="litert", timeout_s=timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._worker.close()

    def time_ms(self, keys: Sequence[LayerKey]) -> list[float]:
        """Milliseconds of each layer; equal keys are timed once. Raises MeasurementError, RuntimeNotInstalled."""
        return [cost.ms for cost in self.costs(keys)]

    def costs(self, keys: Sequence[LayerKey]) -> list[LayerCost]:
        """As `time_ms`, with the number of runs and the time of day."""
        distinct = list(dict.fromkeys(keys))
        found: dict[LayerKey, LayerCost] = {}
        for batch in batches(distinct):
            found |= self._batch(batch)
            if self._on_progress:
                self._on_progress(len(found), len(distinct))
        return [found[key] for key in keys]

    def _batch(self, keys: Sequence[LayerKey]) -> dict[LayerKey, LayerCost]:
        files = {EMPTY: empty_file(), **{str(n): layer_file(key) for n, key in enumerate(keys)}}
        with tempfile.TemporaryDirectory(prefix="edgeprune-probe-") as folder:
            for name, content in files.items():
                path = Path(folder) / f"{name}.tflite"
                path.write_bytes(content)
                loaded = self._worker.load(name, path, "litert", self.threads)
            self.runtime, self.runtime_version = loaded["runtime"], loaded["runtime_version"]
            samples = self._rotate(list(files))
            self._worker.unload()
        times = {name: turn_time(values) for name, values in samples.items()}
        self.overhead_ms = times[EMPTY]
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {
            key: LayerCost(max(0.0, times[str(n)] - self.overhead_ms), len(samples[str(n)]), when)
            for n, key in enumerate(keys)
        }

    def _rotate(self, names: Sequence[str]) -> dict[str, list[float]]:
        """Rounds over all probes, within the time that they may take together; the first is the warm-up."""
        warm = self._worker.rotate(names, rounds=1, burst=BURST)
        round_s = sum(sum(values) for values in warm.values()) / 1e3
        rounds = round(max(ROUNDS[0], min(ROUNDS[1], self._seconds * len(names) / max(round_s, 1e-6))))
        samples: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(rounds):
            for name, values in self._worker.rotate(names, rounds=1, burst=BURST).items():
                samples[name] += values
        return samples
