"""The delivered attempt's files where a user looks for them, model.safetensors and artifacts/, and the way back."""

from pathlib import Path

from torch import nn

from edgeprune.files import copy_whole
from edgeprune.finished import read_widths
from edgeprune.result import ArtifactResult
from edgeprune.run import Run
from edgeprune.sources.models import load_weights


def publish(run: Run, attempt: int, entries: list[ArtifactResult]) -> list[ArtifactResult]:
    """Copy the weights and files of an attempt to the top of the run; the entries with their new paths.

    Copied, not moved: a run that is stopped here finds everything again when it is resumed.
    """
    copy_whole(run.attempt(attempt) / "model.safetensors", run.path / "model.safetensors")
    published = []
    for entry in entries:
        place = run.artifacts / Path(entry.path).name
        copy_whole(run.path / entry.path, place)
        published.append(entry.model_copy(update={"path": str(place.relative_to(run.path))}))
    return published


def restore(folder: Path, model: nn.Module) -> nn.Module:
    """The pruned, trained network of a finished run, in eval mode; `model` is the original and is not changed."""
    widths = read_widths(folder)
    return load_weights(widths.apply(model), folder / "model.safetensors").eval()
