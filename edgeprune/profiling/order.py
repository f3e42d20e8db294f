"""What `edgeprune profile` is asked to do, checked before any work, and its carrying out."""

import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from converters.artifact import Artifact
from edgeprune.config import MAX_THREADS
from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.pipeline.judge import upper_end
from edgeprune.profiling.profile import Row, profile
from edgeprune.profiling.sustained import Sustained, sustain
from edgeprune.progress import Progress
from edgeprune.quantity import Limit, parse_limit
from edgeprune.targets.cores import check_cores
from edgeprune.targets.host import HostTarget
from edgeprune.targets.target import P90_RUNS, Target
from profilers.apple.core_ml import core_ml
from profilers.protocol import FULL, QUICK, Protocol

OFFICIAL = ("benchmark_model", "executor_runner")
_TIMES = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass
class Found:
    """All that was measured. `over` names the rows that exceed the budget that was given."""

    rows: list[Row] = field(default_factory=list)
    sustained: list[Sustained] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    budget: Limit | None = None

    @property
    def over(self) -> list[Row]:
        """Rows whose latency, at the upper end of its interval, is above the budget."""
        return [
            row
            for row in self.rows
            if self.budget is not None and upper_end(self.budget.statistic, row.measurement.latency) > self.budget.value
        ]

    @property
    def missed(self) -> bool:
        """True if a budget was given and is not met."""
        return bool(self.over)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "schema_version": "1.0",
            "measurements": [row.to_json() for row in self.rows],
            "sustained": [one.to_json() for one in self.sustained],
            "official": [one.to_json() for one in self.told],
            "budget": self.budget.text if self.budget else None,
            "met": not self.missed if self.budget else None,
        }

    def render(self) -> Any:
        """What to print with Rich."""
        from rich.console import Group
        from rich.text import Text

        from edgeprune.profiling import table

        parts: list[Any] = [table.render(self.rows)] if self.rows else []
        parts += [table.render_sustained(one) for one in self.sustained]
        parts += [table.render_told(one) for one in self.told]
        if self.budget is not None:
            for row in self.rows:
                verdict = "not met" if row in self.over else "met"
                end = upper_end(self.budget.statistic, row.measurement.latency)
                shown = f"{end:.4g} ms at the end of its 95 % interval, {row.measurement.kind}"
                where = f"{row.file}, {row.threads} thread(s), {row.target}"
                parts.append(Text(f"{where}: {self.budget.text} {verdict}, {shown}"))
        return Group(*parts)


@dataclass(frozen=True)
class Order:
    """The options of `edgeprune profile`, read and checked."""

    target: str
    serials: tuple[str, ...]
    runner: str
    binary: Path | None
    delegate: str
    cores: str | None
    threads: tuple[int, ...]
    protocol: Protocol
    sustained_s: float | None
    per_op: bool
    budget: Limit | None
    patience_s: float

    @classmethod
    def read(
        cls,
        *,
        target: str = "host",
        serial: Sequence[str] | None = None,
        runner: str = "native",
        binary: Path | None = None,
        delegate: str = "cpu",
        cores: str | None = None,
        threads: str = "1",
        runs: int | None = None,
        quick: bool = False,
        sustained: str | None = None,
        per_op: bool = False,
        latency: str | None = None,
        wait: str = "10min",
        output: Path | None = None,
    ) -> "Order":
        """Raises UsageError for what cannot be read or does not fit, EnvironmentProblem for what is not here."""
        _one_of("--target", target, ("host", "android", "mac", "ios"))
        if output is not None:
            raise UsageError(
                "--output is for --target ios, which writes a folder.", "Use --json to keep what is found."
            )
        _one_of("--runner", runner, ("native", "app", *OFFICIAL))
        _one_of("--delegate", delegate, ("cpu", "gpu"))
        only_phone = {"--serial": serial, "--cores": cores, "--binary": binary, "--runner": runner != "native"}
        for name, value in only_phone.items():
            if target != "android" and value:
                raise UsageError(f"{name} is for phones.", "Add --target android.")
        if cores is not None:
            check_cores(cores)
        if target == "mac":
            _check_mac(threads)
        if target != "android" and delegate != "cpu":
            raise EnvironmentProblem(f"There is no {delegate} delegate on this machine.", "Use --delegate cpu.")
        if (binary is None) != (runner not in OFFICIAL):
            raise UsageError("--binary goes with --runner benchmark_model or executor_runner.", "Give both.")
        unjudged = {"--latency": latency is not None}
        ignored: dict[str, dict[str, bool]] = {
            "--sustained": {**unjudged, "--runs": runs is not None, "--quick": quick} if sustained else {},
            f"--runner {runner}": {**unjudged, "--sustained": bool(sustained)} if runner in OFFICIAL else {},
        }
        for beside, options in ignored.items():
            if extra := next((name for name, is_given in options.items() if is_given), None):
                raise UsageError(f"{extra} means nothing with {beside}.", "Give one of the two.")
        if binary is not None and not binary.is_file():
            raise UsageError(f"--binary {binary} is no file.", f"Give {runner}, built for the phone.")
        if per_op and runner != "benchmark_model":
            raise UsageError(
                f"The {runner} runner tells no times of single operations.",
                "Use --runner benchmark_model --binary FILE, with Google's program built for the phone.",
            )
        budget = parse_limit("latency", latency) if latency is not None else None
        if budget is not None and budget.relative:
            raise UsageError(f"--latency {latency} is relative, and nothing to compare with.", "Give it in ms.")
        return cls(
            target,
            tuple(serial or ()),
            runner,
            binary,
            delegate,
            cores,
            _thread_counts(threads),
            _protocol(runs, quick, budget),
            _seconds("--sustained", sustained, least=1.0) if sustained else None,
            per_op,
            budget,
            _seconds("--wait", wait),
        )

    def carry_out(self, subjects: Mapping[str, Artifact], progress: Progress) -> Found:
        """Measure. Raises DeviceError, MeasurementError, RuntimeNotInstalled, UsageError."""
        found = Found(budget=self.budget)
        if self.runner in OFFICIAL:
            found.told = self._official(subjects, progress)
            return found
        with ExitStack() as stack:
            stations = self._stations(progress, stack) if self.target == "android" else []

            def targets(threads: int) -> list[Target]:
                if self.target != "android":
                    return [HostTarget(threads, self.protocol)]
                from edgeprune.targets.cores import cores_named
                from edgeprune.targets.phones import PhoneTarget

                return [
                    PhoneTarget(station, threads, cores_named(self.cores, station.facts.clusters), self.protocol)
                    for station in stations
                ]

            if self.sustained_s is not None:
                for threads in self.threads:
                    for target in targets(threads):
                        for name, artifact in subjects.items():
                            seconds = self.sustained_s
                            found.sustained.append(sustain(name, artifact, target, threads, seconds, progress))
                return found
            found.rows = profile(subjects, self.threads, targets, progress)
        return found

    def _stations(self, progress: Progress, stack: ExitStack) -> list[Any]:
        from profilers.android.devices import open_phones
        from profilers.android.open_station import open_station

        progress.stage("Getting the phone ready")
        stations = []
        for phone in open_phones(self.serials):
            station = stack.enter_context(open_station(phone, self.runner, self.delegate))
            station.patience_s = self.patience_s
            station.on_wait = lambda waited, of, why: progress.advance(waited, of, f"waiting: {why}")
            stations.append(station)
        return stations

    def _official(self, subjects: Mapping[str, Artifact], progress: Progress) -> list[Any]:
        from edgeprune.profiling.official import ask
        from profilers.android.devices import open_phones

        assert self.binary is not None
        told = []
        for phone in open_phones(self.serials):
            for threads in self.threads:
                for name, artifact in subjects.items():
                    progress.stage(f"{self.runner} on {name}, {threads} thread(s)")
                    told.append(
                        ask(
                            phone,
                            self.runner,
                            self.binary,
                            name,
                            artifact,
                            threads=threads,
                            cores=self.cores,
                            runs=self.protocol.min_runs,
                            per_op=self.per_op,
                            delegate=self.delegate,
                        )
                    )
        return told


def _check_mac(threads: str) -> None:
    """Raise where there is no Core ML: before a file is looked at."""
    core_ml()
    if threads != "1":
        raise UsageError("--threads means nothing with --target mac: Core ML chooses them.", "Leave it out.")


def _one_of(option: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UsageError(f"{option} {value!r} is not known.", f"Use one of: {', '.join(allowed)}.")


def _thread_counts(text: str) -> tuple[int, ...]:
    counts = [int(part) if part.strip().isdigit() else 0 for part in text.split(",")]
    if not all(1 <= count <= MAX_THREADS for count in counts):
        cure = f"Give counts from 1 to {MAX_THREADS}, like 1 or 1,4."
        raise UsageError(f"--threads {text!r} is not a list of thread counts.", cure)
    return tuple(dict.fromkeys(counts))


def _protocol(runs: int | None, quick: bool, budget: Limit | None) -> Protocol:
    least = P90_RUNS if budget is not None and budget.statistic == "p90" else 1
    if runs is not None and runs < least:
        raise UsageError(f"--runs {runs} is too few: at least {least} here.", "A 90th percentile needs 300 runs.")
    if quick and (runs is not None or least > 1):
        raise UsageError("--quick is 30 runs: too few for what else is asked.", "Leave out --quick.")
    if quick:
        return QUICK
    wanted = runs or max(FULL.min_runs, least)
    return replace(FULL, min_runs=wanted, max_runs=max(FULL.max_runs, wanted))


def _seconds(option: str, text: str, least: float = 0.0) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", text.strip())
    if match is None or float(match[1]) * _TIMES[match[2]] < least:
        raise UsageError(f"{option} {text!r} cannot be read.", "Write it like 90s or 5min.")
    return float(match[1]) * _TIMES[match[2]]
