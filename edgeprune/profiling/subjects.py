"""What is measured: converted files, or the dense and the pruned file of a finished run."""

from collections.abc import Sequence
from pathlib import Path

import converters
from converters.artifact import SUFFIXES, Artifact, sha256, size_bytes
from edgeprune.errors import UsageError
from edgeprune.finished import read_result

RUNNABLE = ("litert", "executorch")
APPLE = ("coreml",)


def artifact_of(path: Path, precision: str = "float32", formats: Sequence[str] = RUNNABLE) -> Artifact:
    """A converted file of one of these formats. Raises UsageError for another, InspectionError for what is no model."""
    format = next((f for f in formats if path.name.endswith(SUFFIXES[f])), None)  # type: ignore[index]
    if not (path.is_dir() if format == "coreml" else path.is_file()):
        wanted = " or ".join(f"a {SUFFIXES[f]}" for f in formats)  # type: ignore[index]
        raise UsageError(f"{path} is no file.", f"Give {wanted}, or a run directory.")
    if format is None and tuple(formats) == APPLE:
        raise UsageError(f"{path.name} is no .mlpackage.", "Convert it: edgeprune convert --to coreml.")
    if format is None:
        raise UsageError(f"{path.name} is neither a .tflite nor a .pte.", "Convert it: edgeprune convert --to litert.")
    seen = converters.inspect(path, format)  # type: ignore[arg-type]
    return Artifact(seen.format, path, seen.inputs, seen.outputs, precision, sha256(path), size_bytes(path))


def of_run(run: Path, runtime: str | None = None) -> dict[str, Artifact]:
    """The dense and the pruned file of a run, in its runtime or another. Raises UsageError if one was changed."""
    result = read_result(run)
    found: dict[str, Artifact] = {}
    for entry in result.artifacts:
        if entry.format == (runtime or result.runtime):
            artifact = artifact_of(run / entry.path, entry.precision, (entry.format,))
            if artifact.sha256 != entry.sha256:
                raise UsageError(f"{artifact.path} was changed since the run wrote it.", "Run optimize again.")
            suffix = "" if entry.network not in found else f", {entry.precision}"
            found[entry.network + suffix] = artifact
    if not found:
        formats = ", ".join(sorted({entry.format for entry in result.artifacts}))
        raise UsageError(f"{run} has no {runtime or result.runtime} file, only {formats}.", "Choose another --runtime.")
    return found


def read_subjects(paths: Sequence[Path], runtime: str | None = None, *, apple: bool = False) -> dict[str, Artifact]:
    """Files by name; of a run directory its dense and pruned files. `apple`: Core ML packages. Raises UsageError."""
    packages = [path for path in paths if path.name.endswith(SUFFIXES["coreml"])]
    if len(paths) == 1 and paths[0].is_dir() and not packages:
        return of_run(paths[0], "coreml" if apple else runtime)
    if runtime is not None:
        raise UsageError("--runtime is for a run directory.", "Leave it out: a file has the one of its suffix.")
    found: dict[str, Artifact] = {}
    for path in paths:
        if path.is_dir() and path not in packages:
            raise UsageError(f"{path} is a directory: give one run alone, or files.", "")
        name = path.name if path.name not in found else str(path)
        found[name] = artifact_of(path, formats=APPLE if apple else RUNNABLE)
    return found
