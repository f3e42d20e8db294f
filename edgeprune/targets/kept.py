"""Every measurement of a target goes to the store, under its file's name, as soon as it is there."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from converters.artifact import Artifact
from profilers.measurement import Measurement
from profilers.store import Store


def keep(fingerprint: str, measured: Sequence[tuple[Artifact, Measurement]]) -> list[Measurement]:
    """The measurements of a device, with the names of their files, as they are stored. Raises StoreError."""
    named = [replace(measurement, name=name_of(artifact.path)) for artifact, measurement in measured]
    Store().put_measurements(fingerprint, named)
    return named


def name_of(path: Path) -> str:
    """A file's name; of a run's files also that of the run."""
    run = next((folder for folder in path.absolute().parents[1:3] if (folder / "config.yaml").is_file()), None)
    return f"{run.name}/{path.name}" if run else path.name
