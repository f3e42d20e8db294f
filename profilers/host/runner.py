"""Measure artifacts on this machine: a fresh process each, taking turns A-B-B-A so that noise hits all alike."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from converters.artifact import Artifact
from profilers import device, statistics
from profilers.host import conditions, cores
from profilers.host.client import Worker
from profilers.measurement import Latency, Measurement, Ratio
from profilers.protocol import FULL, QUICK, Protocol

OnProgress = Callable[[str, Latency], None]


class Lane:
    """One artifact in one process: `turns` are its bursts of samples, ms."""

    def __init__(self, artifact: Artifact, threads: int, worker: Worker) -> None:
        self.artifact, self.threads, self.worker = artifact, threads, worker
        self.turns: list[list[float]] = []
        self.loaded: dict[str, Any] = {}
        self.burst = 1

    @property
    def samples(self) -> list[float]:
        """All samples so far, in order, ms."""
        return [sample for turn in self.turns for sample in turn]

    def prepare(self, protocol: Protocol) -> None:
        """Load and warm up."""
        self.loaded = self.worker.load("model", self.artifact.path, self.artifact.format, self.threads)
        run_ms = self.worker.warm(
            "model",
            runs=protocol.warmup_runs,
            seconds=protocol.warmup_seconds,
            max_seconds=protocol.warmup_max_seconds,
        )
        self.burst = protocol.burst(run_ms)

    def turn(self) -> None:
        """One burst."""
        self.turns.append(self.worker.run("model", self.burst))

    def measurement(
        self, before: dict[str, Any], after: dict[str, Any], flags: tuple[str, ...], peak_memory_mib: float | None
    ) -> Measurement:
        """What was measured, with its doubts."""
        samples, loaded = self.samples, self.loaded
        return Measurement(
            artifact_sha256=self.artifact.sha256,
            latency=statistics.latency(samples),
            samples_ms=tuple(samples),
            load_ms=loaded["load_ms"],
            first_ms=loaded["first_ms"],
            peak_memory_mib=peak_memory_mib,
            device=device.describe(
                loaded["runtime"],
                loaded["runtime_version"],
                loaded["threads"],
                self.worker.affinity,
                self.worker.affinity_seen,
                loaded["delegate"],
            ),
            conditions_before=before,
            conditions_after=after,
            flags=(*statistics.stability_flags(samples), *flags, *self._thread_flags()),
        )

    def _thread_flags(self) -> tuple[str, ...]:
        new, asked = self.loaded["new_threads"], self.threads
        if self.loaded["runtime"] != "litert" or new is None or new == asked - 1:
            return ()
        return (f"asked for {asked} threads, the runtime started {new} beside its own",)


def interleave(
    lanes: Sequence[Lane], done: Callable[[int], bool], on_turn: Callable[[Lane], None] | None = None
) -> None:
    """Rounds A B ... B A until `done(rounds so far)`: each round gives every lane two turns."""
    rounds = 0
    while not done(rounds):
        for lane in (*lanes, *reversed(lanes)):
            lane.turn()
            if on_turn:
                on_turn(lane)
        rounds += 1


def peak_memory(
    artifact: Artifact, *, threads: int = 1, affinity: Sequence[int] | None = None, timeout_s: float = 120.0
) -> float | None:
    """Peak memory of loading and running, MiB, in a process of its own; None where the system cannot say."""
    pinned = cores.choose(threads, affinity)
    with Worker(affinity=pinned, preload=artifact.format, timeout_s=timeout_s) as worker:
        return worker.memory(artifact.path, artifact.format, threads)


def _measured(
    artifacts: dict[str, Artifact],
    threads: int,
    affinity: Sequence[int] | None,
    rounds: int,
    protocol: Protocol,
    memory: bool,
    timeout_s: float,
    on_progress: OnProgress | None,
) -> tuple[dict[str, Measurement], dict[str, list[list[float]]]]:
    affinity, rounds = cores.choose(threads, affinity), 1 if protocol is QUICK else rounds
    with ExitStack() as stack:
        before, cpu_before = conditions.snapshot(), time.process_time()
        lanes = {
            name: Lane(
                artifact,
                threads,
                stack.enter_context(Worker(affinity=affinity, preload=artifact.format, timeout_s=timeout_s)),
            )
            for name, artifact in artifacts.items()
        }
        names = {id(lane): name for name, lane in lanes.items()}
        for lane in lanes.values():
            lane.prepare(protocol)

        def report(lane: Lane) -> None:
            if on_progress:
                on_progress(names[id(lane)], statistics.latency(lane.samples))

        def done(count: int) -> bool:
            return count >= rounds and all(protocol.done(lane.samples) for lane in lanes.values())

        interleave(list(lanes.values()), done, report)
        after = conditions.snapshot()
        own = time.process_time() - cpu_before + sum(lane.worker.cpu_s for lane in lanes.values())
        flags = conditions.flags(before, after, own)
        peaks = {
            name: peak_memory(artifact, threads=threads, affinity=affinity, timeout_s=timeout_s) if memory else None
            for name, artifact in artifacts.items()
        }
        measurements = {name: lane.measurement(before, after, flags, peaks[name]) for name, lane in lanes.items()}
    return measurements, {name: lane.turns for name, lane in lanes.items()}


def measure(
    artifacts: dict[str, Artifact],
    *,
    threads: int = 1,
    affinity: Sequence[int] | None = None,
    rounds: int = 5,
    protocol: Protocol = FULL,
    memory: bool = True,
    timeout_s: float = 120.0,
    on_progress: OnProgress | None = None,
) -> dict[str, Measurement]:
    """Latency (ms) and peak memory (MiB) of artifacts, interleaved, by name.

    `rounds` is the least number of A-B-B-A rounds; `affinity` the cores to run on (None: chosen, the same
    for all; (): not pinned); `protocol` when enough was measured (QUICK: 30 runs in one round);
    `on_progress(name, latency so far)` is called after every turn. Raises MeasurementError, RuntimeNotInstalled.
    Source: MLPerf Mobile's single-stream rules, with the stop rule of `profilers.protocol`.
    """
    return _measured(artifacts, threads, affinity, rounds, protocol, memory, timeout_s, on_progress)[0]


def compare(
    reference: Artifact,
    candidate: Artifact,
    *,
    threads: int = 1,
    affinity: Sequence[int] | None = None,
    rounds: int = 5,
    protocol: Protocol = FULL,
    memory: bool = True,
    timeout_s: float = 120.0,
    on_progress: OnProgress | None = None,
) -> tuple[Measurement, Measurement, Ratio]:
    """Two artifacts and the paired ratio candidate / reference. Progress names are "reference" and "candidate"."""
    pair = {"reference": reference, "candidate": candidate}
    measured, turns = _measured(pair, threads, affinity, rounds, protocol, memory, timeout_s, on_progress)
    ratio = statistics.paired_ratio(turns["reference"], turns["candidate"])
    return measured["reference"], measured["candidate"], ratio
