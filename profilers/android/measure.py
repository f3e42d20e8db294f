"""Measure files on a phone: a fresh process each turn, turns A-B-B-A, rounds until every median is known."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from converters.artifact import Artifact
from profilers import statistics
from profilers.android import conditions, on_device
from profilers.android.station import Station
from profilers.android.turn import Report, Turn
from profilers.errors import RuntimeNotInstalled
from profilers.measurement import Latency, Measurement, Ratio
from profilers.protocol import FULL, QUICK, Protocol

OnProgress = Callable[[str, Latency], None]
ROUNDS = 5
QUICK_ROUNDS = 3  # six pairs: fewer have no 95 % interval
MAX_ROUNDS = 50
MEMORY_RUNS = 5


@dataclass
class Lane:
    """One file: the reports of its turns, a process each, and of the process that told its memory.

    `difference` is that of its outputs to this machine's, see `on_device`.
    """

    artifact: Artifact
    reports: list[Report] = field(default_factory=list)
    memory: Report | None = None
    difference: float | None = None

    @property
    def turns(self) -> list[list[float]]:
        """Samples of each turn, ms."""
        return [report.samples_ms for report in self.reports]

    @property
    def samples(self) -> list[float]:
        """All samples, in order, ms."""
        return [sample for turn in self.turns for sample in turn]


def turn_of(artifact: Artifact, protocol: Protocol, rounds: int, threads: int, cores: tuple[int, ...] = ()) -> Turn:
    """A turn that is one of 2 x `rounds` which together make the least that the protocol asks for."""
    share = 2 * rounds
    return Turn(
        artifact,
        threads,
        cores,
        warmup_runs=protocol.warmup_runs,
        warmup_seconds=protocol.warmup_seconds,
        min_runs=-(-protocol.min_runs // share),
        max_runs=-(-protocol.max_runs // share),
        min_seconds=protocol.min_seconds / share,
        max_seconds=protocol.max_seconds / share,
    )


def interleave(
    station: Station, lanes: dict[str, Lane], turns: dict[str, Turn], on_progress: OnProgress | None = None
) -> None:
    """One round A B ... B A, in one script: every file gets two processes, and each is told when it ends."""
    order = [*lanes, *reversed(lanes)]
    so_far = {name: list(lane.samples) for name, lane in lanes.items()}
    names = {id(turns[name]): name for name in lanes}

    def told(turn: Turn, report: Report) -> None:
        name = names[id(turn)]
        so_far[name] += report.samples_ms
        if on_progress:
            on_progress(name, statistics.latency(so_far[name]))

    for name, report in zip(order, station.run([turns[name] for name in order], told), strict=True):
        lanes[name].reports.append(report)


def check_delegate(asked: str, report: Report) -> None:
    """Raise RuntimeNotInstalled if what was asked for did not run."""
    if asked == "gpu" and report.delegate != "gpu":
        raise RuntimeNotInstalled(
            f"The GPU delegate is not available: the runner used {report.delegate}.", "Use --delegate cpu."
        )


def measure_turns(
    station: Station,
    artifacts: dict[str, Artifact],
    *,
    threads: int = 1,
    cores: tuple[int, ...] = (),
    rounds: int = ROUNDS,
    protocol: Protocol = FULL,
    memory: bool = True,
    on_progress: OnProgress | None = None,
) -> tuple[dict[str, Measurement], dict[str, list[list[float]]]]:
    """As `measure`, with the samples of each turn by name."""
    if protocol is QUICK:
        rounds = 1 if len(artifacts) == 1 else QUICK_ROUNDS
    station.put(list(artifacts.values()))
    before, doubts = station.fit()
    lanes = {name: Lane(artifact) for name, artifact in artifacts.items()}
    turns = {name: turn_of(artifact, protocol, rounds, threads, cores) for name, artifact in artifacts.items()}
    notes = len(station.notes)
    done = 0
    while done < rounds or not all(protocol.done(lane.samples) for lane in lanes.values()):
        if done:
            station.fit(start=before)
        interleave(station, lanes, turns, on_progress)
        done += 1
        if done >= MAX_ROUNDS:
            break
    if memory:
        brief = [
            Turn(artifact, threads, cores, warmup_runs=0, warmup_seconds=0, min_runs=MEMORY_RUNS, max_seconds=60.0)
            for artifact in artifacts.values()
        ]
        for lane, report in zip(lanes.values(), station.run(brief), strict=True):
            lane.memory = report
            lane.difference = on_device.difference(station, lane.artifact)
    after = conditions.snapshot(station.phone)
    flags = (*doubts, *conditions.flags(before, after), *station.notes[notes:])
    measured = {name: _measurement(station, lane, turns[name], before, after, flags) for name, lane in lanes.items()}
    return measured, {name: lane.turns for name, lane in lanes.items()}


def measure(station: Station, artifacts: dict[str, Artifact], **options: Any) -> dict[str, Measurement]:
    """Latency (ms) and peak memory (MiB) of files on a phone, interleaved, by name.

    Options are those of `measure_turns`: `threads`, `cores`, `rounds` (A-B-B-A, at least), `protocol`, `memory`,
    `on_progress(name, latency so far)`. Raises DeviceError, MeasurementError, RuntimeNotInstalled.
    """
    return measure_turns(station, artifacts, **options)[0]


def compare(
    station: Station, reference: Artifact, candidate: Artifact, **options: Any
) -> tuple[Measurement, Measurement, Ratio]:
    """Two files and the paired ratio candidate / reference. Progress names are "reference" and "candidate"."""
    measured, turns = measure_turns(station, {"reference": reference, "candidate": candidate}, **options)
    ratio = statistics.paired_ratio(turns["reference"], turns["candidate"])
    return measured["reference"], measured["candidate"], ratio


def _measurement(
    station: Station,
    lane: Lane,
    turn: Turn,
    before: dict[str, Any],
    after: dict[str, Any],
    flags: tuple[str, ...],
) -> Measurement:
    first, samples = lane.reports[0], lane.samples
    seen = tuple(first.affinity)
    share = {"pss_mib": lane.memory.pss_mib} if lane.memory and lane.memory.pss_mib is not None else {}
    refused = (f"asked for cores {list(turn.cores)}, got {list(seen)}",) if turn.cores and seen != turn.cores else ()
    return Measurement(
        artifact_sha256=lane.artifact.sha256,
        latency=statistics.latency(samples),
        samples_ms=tuple(samples),
        load_ms=first.load_ms,
        first_ms=first.first_ms,
        peak_memory_mib=lane.memory.peak_mib if lane.memory else None,
        device=station.facts.describe(
            first.runtime, first.runtime_version, first.threads, turn.cores, seen, first.delegate, station.runner.libc
        ),
        conditions_before=before,
        conditions_after={**after, "outputs_difference": lane.difference, **share},
        flags=(
            *on_device.doubts(lane.difference, lane.artifact),
            *statistics.stability_flags(samples),
            *refused,
            *flags,
        ),
        kind=station.facts.kind,
    )
