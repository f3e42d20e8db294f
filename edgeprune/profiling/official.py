"""A file measured by an official program that the user names: benchmark_model or executor_runner."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from converters.artifact import Artifact
from profilers.android.facts import read_facts
from profilers.android.official import Summary
from profilers.android.official_runner import run_official
from profilers.measurement import Kind


@dataclass(frozen=True)
class Told:
    """What a program told about a file on a phone."""

    file: str
    target: str
    kind: Kind
    threads: int
    summary: Summary

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return asdict(self)


def ask(
    phone: Any,
    program: str,
    binary: Path,
    name: str,
    artifact: Artifact,
    *,
    threads: int,
    cores: str | None,
    runs: int,
    per_op: bool,
    delegate: str,
) -> Told:
    """Run the program on one phone. Raises DeviceError, MeasurementError, RuntimeNotInstalled, UsageError."""
    from edgeprune.targets.cores import cores_named

    facts = read_facts(phone)
    summary = run_official(
        phone,
        program,
        binary,
        artifact,
        threads=threads,
        cores=cores_named(cores, facts.clusters),
        runs=runs,
        per_op=per_op,
        delegate=delegate,
    )
    return Told(name, f"{facts.name} ({facts.serial_sha256[:6]})", facts.kind, threads, summary)
